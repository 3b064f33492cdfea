"""Small trainings from drawn photos to an engine, on a backbone of random weights.

Random convolutions can distinguish colours and stripes, and need no download.
"""

from dataclasses import replace

import numpy as np
import pytest

from mlmodels.ml.dataset import LabelledPhoto
from mlmodels.ml.head import blank_head
from mlmodels.ml.preprocessing import PhotoError
from tests.support.networks import LABELS, SMALLEST_INPUT, drawn_dataset

pytestmark = pytest.mark.slow

BLANK = blank_head(len(LABELS))


@pytest.fixture(scope="module")
def training():
    from mlmodels.ml import training

    return training


@pytest.fixture(scope="module")
def dataset():
    return drawn_dataset(training=16, validation=8)


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def run(training, dataset, backbone, cache_dir):
    """Return a function that trains with the given parameters; the feature cache is shared.

    By default it starts from a head whose logits are all 0, because logistic regression alone would
    learn the drawn photos.
    """
    from_blank = training.StartingPoint(BLANK, 1.0)

    def run(progress=lambda progress: None, data=dataset, start=from_blank, **options):
        parameters = {
            "input_size": SMALLEST_INPUT, "epochs": 6, "views": 2, "batch_size": 8, "seed": 5,
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


class TickingClock:
    """A clock that advances by a second at each call."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


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
    # Other label smoothing, so that there is something to learn.
    tuned = run(start=earlier_version, parameters={"variables": 1, "label_smoothing": 0.0})
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
    assert (tuned.best_epoch, tuned.refitted, tuned.temperature) == (6, False, 1.75)


def test_fewer_layers_can_be_trained_on_features_of_a_lower_cut(run, trained, backbone):
    tuned = run(cut=10, parameters={"variables": 2, "epochs": 1})
    assert tuned.changed_layers == ("block5_conv3", "head")
    for name in ("block5_conv1/kernel", "block5_conv2/kernel"):
        assert np.array_equal(tuned.weights[name], backbone[name])
    assert not np.array_equal(tuned.weights["block5_conv3/kernel"], backbone["block5_conv3/kernel"])


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
    export_engine(network.weights, calibration, SMALLEST_INPUT, tmp_path / "engine.tflite")
    engine = LiteRTEngine.load(tmp_path / "engine.tflite", network.weights)
    photos = [photo_pixels(photo, SMALLEST_INPUT) for photo in dataset.validation]
    int8 = np.stack([engine.score(photo).logits for photo in photos])
    keras = build_network(network.weights, SMALLEST_INPUT)
    expected = np.asarray(keras(np.stack(photos).astype(np.float32))["logits"])
    assert (int8.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.95  # 23 of 24
    assert np.corrcoef(int8.ravel(), expected.ravel())[0, 1] > 0.99
