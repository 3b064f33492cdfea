"""Small trainings of several layers, from drawn photos to an engine, on random weights.

Random convolutions can distinguish colours and stripes, and need no download.
"""

from dataclasses import replace

import numpy as np
import pytest

from mlmodels.ml.dataset import LabelledPhoto
from mlmodels.ml.head import blank_head
from mlmodels.ml.layers import AVERAGE
from mlmodels.ml.preprocessing import PhotoError
from mlmodels.ml.reference import load_projections
from tests.support.clocks import TickingClock
from tests.support.networks import LABELS, SMALLEST_INPUT, STATISTICS, drawn_dataset, drawn_other

pytestmark = pytest.mark.slow

BLANK = blank_head(len(LABELS), STATISTICS)


@pytest.fixture(scope="module")
def run(training, dataset, backbone, cache_dir):
    """Return a function that trains with the given parameters; the feature cache is shared.

    By default it starts from a head whose logits are all 0, because ridge regression alone would
    learn the drawn photos.
    """
    from_blank = training.StartingPoint(BLANK, 1.0)

    def run(progress=lambda progress: None, data=dataset, start=from_blank, **options):
        parameters = {
            "input_size": SMALLEST_INPUT, "pooling": STATISTICS, "variables": 4,
            "epochs": 6, "views": 2, "batch_size": 8, "seed": 5,
            "learning_rate": 1e-4, "averaging": 0.5, "mixup": 0.0,
            **options.pop("parameters", {}),
        }  # fmt: skip
        return training.train(
            data,
            training.TrainingParameters(**parameters),
            backbone=backbone,
            cache_dir=cache_dir,
            start=start,
            progress=progress,
            **options,
        )

    return run


@pytest.fixture(scope="module")
def trained(run):
    reports: list = []
    return run(reports.append), reports


def best_epoch(history, n):
    """Return the last epoch within a standard error of the highest validation accuracy."""
    highest = max(record.accuracy for record in history)
    lowest_accepted = highest - (highest * (1 - highest) / n) ** 0.5
    return max(record.epoch for record in history if record.accuracy >= lowest_accepted)


def test_training_learns(trained, dataset):
    network, _ = trained
    assert network.labels == LABELS
    assert network.validation.n == len(dataset.validation)
    assert network.history[0].accuracy < 0.4  # chance
    assert network.validation.accuracy > 0.8
    losses = [record.loss for record in network.history[1:]]
    assert losses[-1] < losses[0]
    assert network.best_epoch == best_epoch(network.history, len(dataset.validation))
    assert (network.calibration, network.figures, network.stem) == (None, {}, None)


def test_layers_are_trained_again_on_all_photos_if_there_is_time(trained, run):
    network, _ = trained
    assert network.refitted
    reports: list = []
    hurried = run(reports.append, clock=TickingClock(), parameters={"epochs": 500, "minutes": 4.0})
    assert hurried.out_of_time, "the first training left time for the second"
    assert hurried.refitted
    assert hurried.seconds < 4 * 60
    assert max(report.eta_seconds or 0 for report in reports) < 4 * 60


def test_only_the_chosen_layers_change(trained, backbone):
    network, _ = trained
    assert network.changed_layers == ("block5_conv1", "block5_conv2", "block5_conv3", "head")
    changed = {
        name.split("/")[0]
        for name, tensor in network.weights.items()
        if name not in backbone or not np.array_equal(tensor, backbone[name])
    }
    assert changed == set(network.changed_layers)
    for name in ("head/mean", "head/scale"):
        assert np.array_equal(network.weights[name], BLANK[name])
    for name, projection in load_projections(STATISTICS).items():
        assert np.array_equal(network.weights[name], projection)


def test_progress_never_falls_and_reports_every_epoch(trained):
    network, reports = trained
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions)
    assert list(dict.fromkeys(report.stage for report in reports)) == [
        "features",
        "layers",
        "refit",
        "calibration",
    ]
    assert tuple(r.record for r in reports if r.record) == network.history
    assert [record.epoch for record in network.history] == list(range(7))


def test_the_same_seed_gives_the_same_network_but_for_rounding(trained, run):
    network, _ = trained
    again, other = run(), run(parameters={"seed": 6})

    def losses(network):
        return np.array([record.loss for record in network.history[1:]])

    # Threads add floats in no fixed order, and the difference grows from epoch to epoch. Another
    # seed makes a difference several times larger.
    rounding = np.abs(losses(again) - losses(network)).max()
    assert losses(again)[0] == pytest.approx(losses(network)[0], rel=1e-3)
    assert 3 * rounding < np.abs(losses(other) - losses(network)).max()


def test_the_best_weights_are_kept_when_the_time_budget_ends(run, dataset):
    network = run(clock=TickingClock(), parameters={"epochs": 500, "minutes": 2.0})
    assert network.out_of_time
    assert 2 <= len(network.history) < 100
    assert network.best_epoch == best_epoch(network.history, len(dataset.validation))
    assert network.validation.accuracy == network.history[network.best_epoch].accuracy
    assert network.seconds < 2 * 60 + 30  # the last measurement may exceed the budget


def test_without_any_time_only_the_head_is_fitted(run):
    network = run(clock=TickingClock(), parameters={"minutes": 0.01}, start=None)
    assert (network.out_of_time, network.best_epoch, network.views) == (True, 0, 1)
    assert network.validation.accuracy > 0.6


def test_training_stops_on_request(run, training):
    reports: list = []
    with pytest.raises(training.TrainingStopped):
        run(reports.append, should_stop=lambda: bool(reports) and reports[-1].stage == "layers")
    assert reports[-1].stage == "layers"
    assert all(report.epoch <= 1 for report in reports)


def test_a_photo_that_can_not_be_decoded_raises_photo_error(run, dataset):
    broken = LabelledPhoto("0" * 64, 0, "broken", lambda: b"no photo")
    with pytest.raises(PhotoError):
        run(data=replace(dataset, training=(broken, *dataset.training)))


@pytest.fixture
def earlier_version(trained, training):
    network, _ = trained
    weights = {
        name: tensor
        for name, tensor in network.weights.items()
        if name.split("/")[0] in network.changed_layers
    }
    return training.StartingPoint(weights, temperature=1.75)


def test_fine_tuning_continues_from_an_earlier_version(run, trained, earlier_version, backbone):
    network, _ = trained
    tuned = run(start=earlier_version, parameters={"variables": 1})
    assert tuned.changed_layers == network.changed_layers
    kernel = "block5_conv3/kernel"
    assert np.array_equal(tuned.weights[kernel], network.weights[kernel])
    assert not np.array_equal(tuned.weights[kernel], backbone[kernel])
    assert not np.array_equal(tuned.weights["head/kernel"], network.weights["head/kernel"])
    assert tuned.history[0].accuracy > 0.5  # chance is 0.33


def test_seen_validation_photos_choose_no_epoch_and_no_temperature(run, dataset, earlier_version):
    # With wrong labels in training, each epoch is worse on the validation photos than the last.
    relabelled = tuple(replace(photo, label=(photo.label + 1) % 3) for photo in dataset.training)
    seen = replace(dataset, training=relabelled, validation_is_new=False)
    tuned = run(data=seen, start=earlier_version, parameters={"learning_rate": 1e-3})
    assert tuned.history[6].accuracy < tuned.history[0].accuracy
    # The head was divided by the earlier temperature before the training.
    assert (tuned.best_epoch, tuned.refitted, tuned.temperature) == (6, False, 1.0)


def test_fewer_layers_can_be_trained_on_features_of_a_lower_cut(run, trained, backbone):
    tuned = run(cut=10, parameters={"variables": 2, "epochs": 1})
    assert tuned.changed_layers == ("block5_conv3", "head")
    for name in ("block5_conv1/kernel", "block5_conv2/kernel"):
        assert np.array_equal(tuned.weights[name], backbone[name])
    assert not np.array_equal(tuned.weights["block5_conv3/kernel"], backbone["block5_conv3/kernel"])


def test_the_specification_s_network_can_be_trained(run):
    network = run(start=None, parameters={"pooling": AVERAGE, "epochs": 2})
    assert network.weights["head/kernel"].shape == (512, len(LABELS))
    assert network.validation.accuracy > 0.6


def with_others(dataset, number=30, first=0):
    return replace(dataset, others=tuple(drawn_other(n) for n in range(first, first + number)))


def test_without_enough_validation_photos_others_are_left_out(run, dataset):
    """Nothing would measure what an output for them says."""
    network = run(data=with_others(dataset), start=None, parameters={"epochs": 1})
    assert (network.other_photos, network.weights["head/bias"].shape) == (0, (len(LABELS),))
    assert network.calibration is None


@pytest.fixture(scope="module")
def large_dataset():
    return drawn_dataset(training=16, validation=34)


@pytest.mark.parametrize("is_refitted", [True, False])
@pytest.mark.parametrize("pooling", [STATISTICS, AVERAGE], ids=["statistics", "average"])
def test_trained_layers_get_an_output_for_other_species(
    run, training, large_dataset, pooling, is_refitted
):
    """Ridge regression alone knows the drawn photos: only from a blank head is more learnt."""
    blank = training.StartingPoint(blank_head(len(LABELS), pooling), 1.0)
    options = {
        "start": blank if is_refitted else None,
        "parameters": {"epochs": 10 if is_refitted else 1, "pooling": pooling},
    }
    alone = run(data=large_dataset, **options)
    network = run(data=with_others(large_dataset), **options)
    assert network.refitted is is_refitted
    assert network.other_photos == 30
    assert network.weights["head/bias"].shape == (len(LABELS) + 1,)
    assert network.calibration.scope.method == "other_class"
    assert network.figures["n_other"] == 30
    assert network.figures["scope"]["auroc"]["value"] > 0.9
    assert alone.calibration.scope.method == "best_score"
    # What the labels' outputs say does not depend on the others.
    assert abs(network.validation.accuracy - alone.validation.accuracy) < 0.1


def test_the_engine_s_answers_tell_other_species_after_a_training_of_layers(
    run, training, large_dataset, tmp_path
):
    from mlmodels.ml.answers import answer
    from mlmodels.ml.engine import LiteRTEngine
    from mlmodels.ml.export import export_engine
    from mlmodels.ml.features import calibration_pixels, photo_pixels

    network = run(data=with_others(large_dataset), start=None, parameters={"epochs": 2})
    calibration = calibration_pixels(large_dataset.training, SMALLEST_INPUT, 12)
    path = tmp_path / "engine.tflite"
    export_engine(network.weights, calibration, SMALLEST_INPUT, path, STATISTICS)
    engine = LiteRTEngine.load(path, network.weights, STATISTICS)

    def in_scope(photos):
        scores = [engine.score(photo_pixels(photo, SMALLEST_INPUT)) for photo in photos]
        return [answer(s.logits, s.lognorm, network.calibration).in_scope for s in scores]

    assert np.mean(in_scope(large_dataset.validation)) > 0.8
    assert np.mean(in_scope(drawn_other(number) for number in range(100, 110))) < 0.5


def test_a_version_that_knows_others_can_be_trained_on(run, training, dataset):
    others = tuple(drawn_other(number) for number in range(30))
    first = run(
        data=replace(dataset, others=others), start=None, parameters={"variables": 1, "epochs": 1}
    )
    assert first.weights["head/bias"].shape == (len(LABELS) + 1,)
    head = {name: tensor for name, tensor in first.weights.items() if name.startswith("head/")}
    start = training.StartingPoint(head, first.temperature)
    tuned = run(start=start, parameters={"epochs": 1})
    assert tuned.weights["head/bias"].shape == (len(LABELS),)
    assert tuned.history[0].accuracy == pytest.approx(first.validation.accuracy, abs=0.25)
    assert tuned.temperature == pytest.approx(1, abs=0.9), "the head was divided by the earlier one"


@pytest.mark.parametrize(("variables", "first"), [(2, "block5_conv3"), (14, "block1_conv1")])
def test_any_number_of_layers_can_be_trained(run, variables, first):
    network = run(parameters={"variables": variables, "epochs": 1, "views": 2})
    assert (network.changed_layers[0], len(network.changed_layers)) == (first, variables)


def test_the_engine_agrees_with_the_trained_network(trained, dataset, tmp_path):
    from mlmodels.ml.engine import LiteRTEngine
    from mlmodels.ml.export import export_engine
    from mlmodels.ml.features import calibration_pixels, photo_pixels
    from mlmodels.ml.network import build_network

    network, _ = trained
    calibration = calibration_pixels(dataset.training, SMALLEST_INPUT, 12)
    path = tmp_path / "engine.tflite"
    export_engine(network.weights, calibration, SMALLEST_INPUT, path, STATISTICS)
    engine = LiteRTEngine.load(path, network.weights, STATISTICS)
    photos = [photo_pixels(photo, SMALLEST_INPUT) for photo in dataset.validation]
    int8 = np.stack([engine.score(photo).logits for photo in photos])
    keras = build_network(network.weights, SMALLEST_INPUT, STATISTICS)
    expected = np.asarray(keras({"maps": np.stack(photos)})["logits"])
    assert (int8.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.95  # 23 of 24
    assert np.corrcoef(int8.ravel(), expected.ravel())[0, 1] > 0.99
