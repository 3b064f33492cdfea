import json

import numpy as np
import pytest

from mlmodels.ml.metrics import (
    confusion_matrix,
    debiased_calibration_error,
    evaluate,
    reliability_bins,
    wilson_interval,
)

SPECIES = ("Amanita muscaria", "Coprinus comatus", "Trametes versicolor")


def test_confusion_matrix_has_the_true_labels_in_rows():
    matrix = confusion_matrix(np.array([0, 0, 1]), np.array([0, 2, 2]), 3)
    assert matrix.tolist() == [[1, 0, 1], [0, 0, 1], [0, 0, 0]]


def test_evaluate_counts_by_species():
    logits = np.log([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.6, 0.3], [0.5, 0.25, 0.25]])
    metrics = evaluate(logits, np.array([0, 0, 1, 0]), SPECIES)
    assert (metrics.n, metrics.correct, metrics.accuracy) == (4, 3, 0.75)
    assert metrics.ci95 == wilson_interval(3, 4)
    assert [(s.species, s.n, s.accuracy, s.ci95) for s in metrics.per_species] == [
        (SPECIES[0], 3, pytest.approx(2 / 3), wilson_interval(2, 3)),
        (SPECIES[1], 1, 1.0, wilson_interval(1, 1)),
        (SPECIES[2], 0, None, None),
    ]
    assert metrics.confusion == ((2, 1, 0), (0, 1, 0), (0, 0, 0))
    assert metrics.mean_score == pytest.approx((0.8 + 0.7 + 0.6 + 0.5) / 4)
    assert metrics.nll == pytest.approx(-np.log([0.8, 0.2, 0.6, 0.5]).mean())


def test_the_temperature_changes_scores_but_not_answers():
    logits = np.array([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    labels = np.array([0, 0])
    default, tempered = evaluate(logits, labels, SPECIES), evaluate(logits, labels, SPECIES, 4.0)
    assert default.confusion == tempered.confusion
    assert tempered.mean_score == pytest.approx(np.e / (np.e + 2))
    assert tempered.mean_score < default.mean_score


def test_evaluate_measures_calibration_without_bias():
    rng = np.random.default_rng(31)
    logits, labels = 3 * rng.normal(size=(200, 3)), rng.integers(3, size=200)
    metrics = evaluate(logits, labels, SPECIES, 1.5)
    best = np.exp(logits / 1.5).max(axis=1) / np.exp(logits / 1.5).sum(axis=1)
    is_right = logits.argmax(axis=1) == labels
    expected = debiased_calibration_error(best, is_right)
    assert metrics.calibration.value == pytest.approx(expected.value)
    assert metrics.calibration.ci95 == pytest.approx(expected.ci95)
    bins = reliability_bins(best, is_right, 10)
    assert [b.n for b in metrics.reliability] == [20] * 10
    assert [b.accuracy for b in metrics.reliability] == [b.accuracy for b in bins]
    assert sum(b.n * b.accuracy for b in metrics.reliability) == pytest.approx(metrics.correct)


def test_evaluate_counts_by_size():
    logits = np.tile([2.0, 1.0, 0.0], (6, 1))
    labels = np.array([0, 1, 0, 0, 1, 0])
    metrics = evaluate(logits, labels, SPECIES, longer_sides=[160, 160, 161, 320, 4000, 1281])
    assert [(s.above, s.up_to, s.n, s.correct) for s in metrics.per_size] == [
        (0, 160, 2, 1),
        (160, 320, 2, 2),
        (1280, None, 2, 1),
    ]
    assert metrics.per_size[1].ci95 == wilson_interval(2, 2)
    assert evaluate(logits, labels, SPECIES).per_size == ()
    with pytest.raises(ValueError, match="6 answers but 1 groups"):
        evaluate(logits, labels, SPECIES, longer_sides=[160])


def test_a_single_photo_has_no_calibration_error():
    metrics = evaluate(np.eye(3)[:1], np.array([0]), SPECIES, longer_sides=[160])
    assert (metrics.accuracy, metrics.calibration, metrics.reliability) == (1.0, None, ())


def test_metrics_can_be_written_as_json():
    metrics = evaluate(np.eye(3), np.arange(3), SPECIES, longer_sides=[160, 320, 640]).as_dict()
    assert json.loads(json.dumps(metrics)) == metrics


def test_evaluate_refuses_logits_of_another_number_of_species():
    with pytest.raises(ValueError, match="do not fit"):
        evaluate(np.zeros((1, 2)), np.array([0]), SPECIES)
