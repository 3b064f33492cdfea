"""Trainings of the head alone, in closed form, on drawn photos and a backbone of random weights."""

from dataclasses import replace

import numpy as np
import pytest

from mlmodels.ml.answers import answer
from mlmodels.ml.dataset import LabelledPhoto
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.features import photo_pixels
from mlmodels.ml.layers import AVERAGE
from mlmodels.ml.preprocessing import PhotoError
from mlmodels.ml.sizes import ResizedPhoto
from tests.support.clocks import TickingClock
from tests.support.networks import (
    LABELS,
    SMALLEST_INPUT,
    STATISTICS,
    drawn_other,
    random_head,
)

OTHERS = 30


@pytest.fixture(scope="module")
def with_others(dataset):
    return replace(dataset, others=tuple(drawn_other(number) for number in range(OTHERS)))


@pytest.fixture(scope="module")
def run(training, backbone, cache_dir):
    """Return a function that trains on a dataset; the cached features are shared."""

    def run(data, progress=lambda progress: None, parameters=None, **options):
        chosen = {"input_size": SMALLEST_INPUT, "pooling": STATISTICS, **(parameters or {})}
        return training.train(
            data,
            training.TrainingParameters(**chosen),
            **{"backbone": backbone, "cache_dir": cache_dir, "progress": progress, **options},
        )

    return run


@pytest.fixture(scope="module")
def alone(run, dataset):
    """Return a network of a dataset without photos of other species."""
    return run(dataset)


@pytest.fixture(scope="module")
def trained(run, with_others):
    reports: list = []
    return run(with_others, reports.append), reports


def test_by_default_only_the_head_is_trained_in_no_epochs(trained, dataset, backbone):
    network, _ = trained
    assert network.parameters.variables == 1
    assert network.changed_layers == ("head",)
    assert all(network.weights[name] is tensor for name, tensor in backbone.items())
    (record,) = network.history
    assert (record.epoch, record.loss) == (0, None)
    assert record.accuracy == network.validation.accuracy > 0.7  # chance is 0.33
    assert (network.best_epoch, network.refitted, network.out_of_time) == (0, True, False)
    assert network.validation.n == len(dataset.validation)
    assert network.validation_logits.shape == (len(dataset.validation), len(LABELS))


def test_photos_of_other_species_get_an_output_of_their_own(trained, alone):
    network, _ = trained
    assert network.other_photos == OTHERS
    assert network.weights["head/kernel"].shape == (STATISTICS.size, len(LABELS) + 1)
    assert (alone.other_photos, alone.weights["head/bias"].shape) == (0, (len(LABELS),))


def test_the_network_is_calibrated_by_all_photos_and_the_others(trained, alone):
    network, _ = trained
    assert network.calibration.scope.method == "other_class"
    assert network.temperature == network.calibration.temperature
    assert (network.figures["n_known"], network.figures["n_other"]) == (72, OTHERS)
    assert network.figures["scope"]["auroc"]["value"] > 0.8
    assert alone.calibration.scope.method == "best_score"
    assert alone.figures["n_other"] == 0


def test_the_stem_serves_as_the_engine_that_the_head_was_fitted_to(trained, with_others):
    network, _ = trained
    engine = LiteRTEngine.load(network.stem, network.weights, STATISTICS)

    def answers(photos):
        scores = [engine.score(photo_pixels(photo, SMALLEST_INPUT)) for photo in photos]
        return [answer(score.logits, score.lognorm, network.calibration) for score in scores]

    # The head was fitted to these photos, so it knows them.
    known = answers(with_others.validation)
    truth = [photo.label for photo in with_others.validation]
    assert np.mean([given.scores.argmax() for given in known] == np.array(truth)) > 0.9
    others = answers(drawn_other(number) for number in range(100, 110))
    assert np.mean([given.in_scope for given in known]) > 0.8
    assert np.mean([given.in_scope for given in others]) < 0.5


def test_progress_never_falls_and_reports_the_one_measurement(trained):
    network, reports = trained
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions)
    assert reports[0].stage == "features"
    assert "layers" not in {report.stage for report in reports}
    assert tuple(r.record for r in reports if r.record) == network.history


def test_the_same_seed_gives_the_same_network(trained, run, with_others):
    network, _ = trained
    again = run(with_others)
    assert again.calibration == network.calibration
    assert again.figures == network.figures
    for name in ("head/kernel", "head/bias", "head/mean", "head/scale"):
        assert np.allclose(again.weights[name], network.weights[name], rtol=1e-4, atol=1e-6), name


def test_the_projection_is_kept_with_the_network(trained):
    from mlmodels.ml.reference import load_projections

    network, _ = trained
    for name, projection in load_projections(STATISTICS).items():
        assert np.array_equal(network.weights[name], projection)


def copies_in(cache_dir, photos, side):
    """Return how many of the photos have cached features of a copy of that size."""
    names = [ResizedPhoto(photo, side).sha256 for photo in photos]
    return sum(any(cache_dir.glob(f"features/*/{name}-0.npy")) for name in names)


def test_labelled_photos_are_also_shown_in_the_sizes_of_small_others(
    run, dataset, trained, cache_dir
):
    """Otherwise a low resolution alone would tell that a photo is of another species."""
    assert copies_in(cache_dir, dataset.photos, 48) == 0, "those others are as large as the photos"
    small = tuple(drawn_other(number, side=24) for number in range(OTHERS))
    run(replace(dataset, others=small))
    assert copies_in(cache_dir, dataset.photos, 24) == len(dataset.photos)


def test_others_of_too_few_genera_to_measure_are_not_learnt(run, dataset, alone):
    few = tuple(replace(drawn_other(n), group=f"Genus {n % 3}") for n in range(OTHERS))
    network = run(replace(dataset, others=few))
    assert (network.other_photos, network.weights["head/bias"].shape) == (0, (len(LABELS),))
    assert network.calibration.scope.method == "best_score"


def test_a_genus_is_one_group_however_it_is_written(run, dataset):
    """Else a head would have learnt the genus by which it is measured."""
    four = tuple(
        replace(drawn_other(n), group=("Genus", "GENUS")[n % 2] + f" {n // 2 % 4}")
        for n in range(OTHERS)
    )
    assert len({photo.group for photo in four}) == 8
    network = run(replace(dataset, others=four))
    assert network.other_photos == 0, "four genera are too few to measure"


def test_without_time_no_others_are_learnt(run, with_others):
    network = run(with_others, clock=TickingClock(), parameters={"minutes": 0.01})
    assert (network.other_photos, network.calibration.scope.method) == (0, "best_score")
    assert network.validation.accuracy > 0.7


def test_with_room_for_few_features_fewer_others_are_learnt(
    run, with_others, tmp_path, monkeypatch
):
    from mlmodels.ml import training_session

    room = (72 + 20) * 2 * STATISTICS.size
    monkeypatch.setattr(training_session, "MAX_FEATURE_BYTES", room)
    network = run(with_others, parameters={"views": 1}, cache_dir=tmp_path)
    assert network.other_photos == 20
    assert len(list(tmp_path.glob("features/*/*.npy"))) == 72 + 20


def test_few_others_are_learnt_but_do_not_tell_scope(run, dataset):
    few = tuple(drawn_other(number) for number in range(8))
    network = run(replace(dataset, others=few))
    assert network.other_photos == 8
    assert network.calibration.scope.method == "best_score"


def regrouped(dataset, finds):
    """Return the dataset with so many finds of the last label, at least one in each split."""

    def of(photos, names):
        return tuple(
            replace(photo, group=names[number % len(names)]) if photo.label == 2 else photo
            for number, photo in enumerate(photos)
        )

    names = [f"find {number}" for number in range(finds)]
    return replace(
        dataset,
        training=of(dataset.training, names[1:]),
        validation=of(dataset.validation, names[:1]),
    )


@pytest.mark.parametrize("finds", [2, 3, 5])
def test_a_species_of_few_finds_can_be_trained(run, dataset, finds):
    network = run(regrouped(dataset, finds))
    assert network.validation.accuracy > 0.5
    assert network.calibration.n_labels == len(LABELS)
    assert network.figures["n_known"] == len(dataset.photos)


def test_without_time_one_view_is_enough(run, dataset):
    network = run(dataset, clock=TickingClock(), parameters={"minutes": 0.01})
    assert network.views == 1
    assert network.validation.accuracy > 0.7


def test_training_stops_on_request(run, training, with_others, tmp_path):
    for stage in ("features", "head", "calibration"):
        reports: list = []
        with pytest.raises(training.TrainingStopped):
            run(
                with_others,
                reports.append,
                should_stop=lambda: bool(reports) and reports[-1].stage == stage,  # noqa: B023
            )
        assert [report.stage for report in reports].count(stage) == 1


def test_a_photo_that_can_not_be_decoded_raises_photo_error(run, dataset):
    broken = LabelledPhoto("0" * 64, 0, "broken", lambda: b"no photo")
    with pytest.raises(PhotoError):
        run(replace(dataset, training=(broken, *dataset.training)))
    other = replace(drawn_other(0), sha256="1" * 64, read=lambda: b"no photo")
    with pytest.raises(PhotoError):
        run(replace(dataset, others=(other,)))


def test_a_version_of_the_specification_s_network_is_trained_on_with_its_convolutions(
    run, training, with_others, backbone, tmp_path
):
    kernel = "block5_conv3/kernel"
    earlier = {name: backbone[name] for name in (kernel, "block5_conv3/bias")}
    earlier[kernel] = earlier[kernel][..., ::-1]
    start = training.StartingPoint({**earlier, **random_head(len(LABELS), AVERAGE)}, 0.1)
    tuned = run(with_others, start=start, cache_dir=tmp_path, parameters={"pooling": AVERAGE})
    assert tuned.changed_layers == ("block5_conv3", "head")
    assert np.array_equal(tuned.weights[kernel], earlier[kernel])
    assert {name: t.shape for name, t in tuned.weights.items() if name.startswith("head/")} == {
        "head/kernel": (512, len(LABELS) + 1),
        "head/bias": (len(LABELS) + 1,),
    }
    assert tuned.validation.accuracy > 0.7
    assert tuned.stem is None, "its output is named otherwise"
    # These convolutions may have been trained on the same photos: no answer is promised.
    assert (tuned.calibration, tuned.figures) == (None, {})
