import json

import numpy as np
import pytest

from mlmodels.ml.metrics import confusion_matrix, evaluate, wilson_interval

SPECIES = ("Amanita muscaria", "Coprinus comatus", "Trametes versicolor")


def test_confusion_matrix_has_the_true_labels_in_rows():
    matrix = confusion_matrix(np.array([0, 0, 1]), np.array([0, 2, 2]), 3)
    assert matrix.tolist() == [[1, 0, 1], [0, 0, 1], [0, 0, 0]]


def test_evaluate_counts_by_species():
    logits = np.log([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.6, 0.3], [0.5, 0.25, 0.25]])
    metrics = evaluate(logits, np.array([0, 0, 1, 0]), SPECIES)
    assert (metrics.n, metrics.correct, metrics.accuracy) == (4, 3, 0.75)
    assert metrics.ci95 == wilson_interval(3, 4)
    assert [(s.species, s.n, s.accuracy) for s in metrics.per_species] == [
        (SPECIES[0], 3, pytest.approx(2 / 3)),
        (SPECIES[1], 1, 1.0),
        (SPECIES[2], 0, None),
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


def test_metrics_can_be_written_as_json():
    metrics = evaluate(np.eye(3), np.arange(3), SPECIES).as_dict()
    assert json.loads(json.dumps(metrics)) == metrics


def test_evaluate_refuses_logits_of_another_number_of_species():
    with pytest.raises(ValueError, match="do not fit"):
        evaluate(np.zeros((1, 2)), np.array([0]), SPECIES)
