import numpy as np
import pytest

from mlmodels.ml.calibration import expected_calibration_error
from mlmodels.ml.metrics import debiased_calibration_error, reliability_bins, wilson_interval

PHOTOS = 229


def made_up_confidences(rng: np.random.Generator, n: int) -> np.ndarray:
    """Best scores like the real model's: most near 1, a mean of 0.88."""
    return np.clip(1 / (1 + np.exp(-rng.normal(3.2, 2.2, n))), 0.3, 1.0)


def overconfident_accuracy(confidences: np.ndarray) -> np.ndarray:
    """Return the accuracy behind scores whose logits are too large by a factor."""
    logits = np.log(confidences) - np.log1p(-np.minimum(confidences, 1 - 1e-12))
    return 1 / (1 + np.exp(-0.6 * logits))


def plain_ece(confidences: np.ndarray, is_right: np.ndarray) -> float:
    """Return the usual ECE in 15 bins of equal width, by way of two labels."""
    logit_pairs = np.stack([confidences, np.zeros_like(confidences)], axis=1)
    return expected_calibration_error(logit_pairs, np.where(is_right, 0, 1))


def test_a_perfectly_calibrated_model_has_no_error_on_average(monkeypatch):
    monkeypatch.setattr("mlmodels.ml.metrics.calibration_error.RESAMPLES", 1)  # no interval needed
    rng = np.random.default_rng(11)
    squared, values, plain = [], [], []
    for _ in range(2000):
        confidences = made_up_confidences(rng, PHOTOS)
        is_right = rng.random(PHOTOS) < confidences
        estimate = debiased_calibration_error(confidences, is_right)
        squared.append(estimate.squared)
        values.append(estimate.value)
        plain.append(plain_ece(confidences, is_right))
    standard_error = np.std(squared) / np.sqrt(len(squared))
    assert abs(np.mean(squared)) < 2.5 * standard_error
    assert np.sqrt(abs(np.mean(squared))) < 0.012
    assert np.median(values) < 0.012
    assert 0.03 < np.mean(plain) < 0.06  # all of it bias


def test_the_interval_of_a_perfectly_calibrated_model_begins_at_zero():
    rng = np.random.default_rng(15)
    held = 0
    for _ in range(60):
        confidences = made_up_confidences(rng, PHOTOS)
        low, high = debiased_calibration_error(confidences, rng.random(PHOTOS) < confidences).ci95
        held += low == 0 < high
    assert held >= 57


def test_the_error_of_an_overconfident_model_is_found_and_its_interval_holds_it():
    rng = np.random.default_rng(12)
    many = made_up_confidences(rng, 400_000)
    true_error = np.sqrt(((many - overconfident_accuracy(many)) ** 2).mean())
    assert true_error == pytest.approx(0.074, abs=0.002)
    squared, covered = [], 0
    for _ in range(120):
        confidences = made_up_confidences(rng, 500)
        is_right = rng.random(500) < overconfident_accuracy(confidences)
        estimate = debiased_calibration_error(confidences, is_right)
        squared.append(estimate.squared)
        covered += estimate.ci95[0] <= true_error <= estimate.ci95[1]
    assert np.sqrt(np.mean(squared)) == pytest.approx(true_error, abs=0.005)
    assert 0.9 <= covered / 120 <= 0.99


def test_the_estimate_of_two_bins_by_hand():
    confidences = [0.5] * 4 + [0.9] * 4
    is_right = [True, False, False, False] + [True] * 4
    estimate = debiased_calibration_error(confidences, is_right, n_bins=2)
    low_bin = (0.25 - 0.5) ** 2 - 0.25 * 0.75 / 3
    high_bin = (1 - 0.9) ** 2
    assert estimate.squared == pytest.approx((low_bin + high_bin) / 2)
    assert estimate.value == pytest.approx(np.sqrt((low_bin + high_bin) / 2))
    assert (estimate.n, estimate.n_bins) == (8, 2)


def test_a_squared_error_below_zero_is_an_error_of_zero():
    estimate = debiased_calibration_error([0.5] * 4, [True, True, False, False])
    assert estimate.squared == pytest.approx(-0.25 / 3)
    assert (estimate.value, estimate.ci95[0]) == (0.0, 0.0)


def test_the_seed_decides_the_interval_and_nothing_else():
    rng = np.random.default_rng(13)
    confidences = made_up_confidences(rng, PHOTOS)
    is_right = rng.random(PHOTOS) < 0.7
    first, again, other = (
        debiased_calibration_error(confidences, is_right, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.ci95 != other.ci95
    assert first.ci95 == pytest.approx(other.ci95, abs=0.02)
    assert first.value == other.value
    assert 0 < first.ci95[0] < first.value < first.ci95[1] < 1


def test_the_order_of_the_photos_does_not_matter_even_where_confidences_are_equal():
    confidences = np.array([0.8] * 30 + [1.0] * 70)
    is_right = np.array([True] * 20 + [False] * 10 + [True] * 60 + [False] * 10)
    shuffled = np.random.default_rng(14).permutation(100)
    bins = reliability_bins(confidences, is_right)
    assert bins == reliability_bins(confidences[shuffled], is_right[shuffled])
    assert [(b.n, b.confidence, b.accuracy) for b in bins] == [
        (30, pytest.approx(0.8), pytest.approx(2 / 3)),
        (70, 1.0, pytest.approx(6 / 7)),
    ]
    assert bins[0].ci95 == wilson_interval(20, 30)


def test_bins_hold_equally_many_photos_and_two_at_least():
    confidences = np.linspace(0.2, 0.9, 100)
    sizes = [b.n for b in reliability_bins(confidences, confidences > 0.5, n_bins=15)]
    assert (len(sizes), min(sizes), max(sizes), sum(sizes)) == (15, 6, 7, 100)
    assert [b.n for b in reliability_bins([0.1, 0.2, 0.3, 0.4, 0.5], [True] * 5)] == [2, 3]
    # The one photo above the equal ones does not stay alone.
    assert [b.n for b in reliability_bins([0.5, 0.5, 0.5, 0.9], [True] * 4, 2)] == [4]


@pytest.mark.parametrize(
    ("confidences", "is_right", "message"),
    [
        ([0.5], [True], "needs 2 photos"),
        ([], [], "needs 2 photos"),
        ([0.5, 0.5], [True], "must both be"),
        ([[0.5, 0.5]], [[True, True]], "must both be"),
        ([0.5, 1.1], [True, True], "from 0 to 1"),
        ([0.5, np.nan], [True, True], "from 0 to 1"),
    ],
)
def test_what_is_no_confidence_is_refused(confidences, is_right, message):
    with pytest.raises(ValueError, match=message):
        debiased_calibration_error(confidences, is_right)
    with pytest.raises(ValueError, match=message):
        reliability_bins(confidences, is_right)


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match="at least one bin"):
        debiased_calibration_error([0.5, 0.6], [True, True], n_bins=0)
