import math

import numpy as np
import pytest

from mlmodels.ml.calibration import (
    TEMPERATURES,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    softmax,
    temperature_ratio,
)


def test_softmax_of_known_logits():
    assert softmax(np.log([[1.0, 2.0, 5.0]])) == pytest.approx(np.array([[0.125, 0.25, 0.625]]))


def test_softmax_divides_by_the_temperature():
    logits = 2 * np.log([[1.0, 3.0]])
    assert softmax(logits, temperature=2.0) == pytest.approx(np.array([[0.25, 0.75]]))


def test_softmax_of_huge_logits_does_not_overflow():
    assert softmax(np.array([[10_000.0, 0.0]], np.float32)).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_softmax_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match="temperature"):
        softmax(np.zeros((1, 2)), temperature)


def test_negative_log_likelihood_of_known_probabilities():
    logits = np.log([[0.5, 0.5], [0.2, 0.8]])
    expected = -(math.log(0.5) + math.log(0.8)) / 2
    assert negative_log_likelihood(logits, np.array([0, 1])) == pytest.approx(expected)


def test_fit_temperature_finds_the_factor_that_logits_were_multiplied_by():
    rng = np.random.default_rng(0)
    true_logits = rng.normal(0, 2, (20_000, 5))
    probabilities = softmax(true_logits)
    labels = (rng.random((20_000, 1)) < probabilities.cumsum(axis=1)).argmax(axis=1)
    assert fit_temperature(true_logits * 3.0, labels) == pytest.approx(3.0, rel=0.03)
    assert fit_temperature(true_logits / 2.0, labels) == pytest.approx(0.5, rel=0.03)


def test_fit_temperature_stays_in_its_range_when_every_answer_is_correct():
    logits = 5 * np.eye(3)
    temperature = fit_temperature(logits, np.arange(3))
    assert TEMPERATURES[0] <= temperature < 0.2


def test_the_temperature_ratio_is_below_1_when_the_subset_is_harder():
    rng = np.random.default_rng(0)
    true_logits = rng.normal(0, 2, (20_000, 5))
    labels = (rng.random((20_000, 1)) < softmax(true_logits).cumsum(axis=1)).argmax(axis=1)
    subset = np.arange(20_000) < 4_000
    assert temperature_ratio(true_logits, labels, subset) == pytest.approx(1.0, rel=0.03)
    # Overconfident on the subset.
    harder = np.where(subset[:, None], 1.5 * true_logits, true_logits)
    ratio = temperature_ratio(harder, labels, subset)
    assert ratio * fit_temperature(harder[subset], labels[subset]) == pytest.approx(
        fit_temperature(harder, labels)
    )
    assert 0.6 < ratio < 0.95
    much_harder = np.where(subset[:, None], 9 * true_logits, true_logits)
    assert temperature_ratio(much_harder, labels, subset) == 0.5


def test_fit_temperature_needs_photos():
    with pytest.raises(ValueError, match="at least 1"):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, int))


def test_a_label_beyond_the_scores_is_refused():
    with pytest.raises(ValueError, match="from 0 to 2"):
        fit_temperature(np.zeros((2, 3)), np.array([0, 3]))


def test_calibration_error_of_four_photos_computed_manually():
    # Bins of width 1/15: 0.62 and 0.65 are in the tenth, one of the two is correct; 0.9 and 0.91
    # are in the fourteenth, both are correct.
    best = np.array([0.62, 0.65, 0.9, 0.91])
    probabilities = np.stack([best, 1 - best], axis=1)
    labels = np.array([0, 1, 0, 0])
    expected = (abs(0.5 - 0.635) * 2 + abs(1.0 - 0.905) * 2) / 4
    assert expected_calibration_error(probabilities, labels) == pytest.approx(expected)


def test_calibration_error_is_zero_when_scores_equal_the_accuracy():
    probabilities = np.tile([0.75, 0.25], (4, 1))
    assert expected_calibration_error(probabilities, np.array([0, 0, 0, 1])) == 0.0


def test_a_score_of_one_belongs_to_the_last_bin():
    probabilities = np.array([[1.0, 0.0], [0.94, 0.06]])
    assert expected_calibration_error(probabilities, np.array([0, 0])) == pytest.approx(0.03)
