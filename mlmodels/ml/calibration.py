"""Calibration of scores: temperature scaling, and how well calibrated scores are.

Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv:1706.04599).
"""

from __future__ import annotations

import numpy as np

BINS = 15
"""Bins of the expected calibration error."""
TEMPERATURES = (0.005, 20.0)
"""Range of `fit_temperature`; outputs of ridge regression have temperatures below 0.1."""
RATIOS = (0.5, 2.0)
"""Range of `temperature_ratio`; a ratio beyond it would point to another problem."""


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return probabilities [..., k], float64, for `logits` [..., k]; each row sums to 1.

    The logits are divided by `temperature`. A temperature above 1 lowers the best score; the order
    of the scores never changes. Raises `ValueError` unless the temperature is positive.
    """
    if not temperature > 0:
        raise ValueError(f"The temperature must be positive, not {temperature}.")
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def negative_log_likelihood(
    logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0
) -> float:
    """Return the mean of -log(probability of the true label), in nats; 0 is perfect.

    `logits` [n, k]; `labels` integers [n], from 0 to k - 1. Raises `ValueError` when there are no
    photos, or for shapes or labels that do not fit.
    """
    logits, labels = _checked(logits, labels)
    scaled = logits / temperature
    largest = scaled.max(axis=1)
    log_sum = largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))
    return float((log_sum - scaled[np.arange(len(labels)), labels]).mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that maximises the likelihood of `labels` [n] given `logits` [n, k].

    The logits must be of photos that were not trained on. Raises `ValueError` when there are none.
    Where every answer is correct, or the logits carry no information, the likelihood has no inner
    maximum and the result is near an end of `TEMPERATURES`; it is never outside.
    """
    # Imported late: serving needs only the softmax, not the 30 MB of SciPy.
    from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

    logits, labels = _checked(logits, labels)
    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, labels, float(np.exp(log_t))),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(np.exp(found.x))


def temperature_ratio(logits: np.ndarray, labels: np.ndarray, subset: np.ndarray) -> float:
    """Return the temperature of all photos divided by that of the photos in `subset`.

    `logits` [n, k], each row by a classifier that was not trained on its photo; `labels` [n];
    `subset` bool [n]. Photos that are easier or harder than the rest are so for other classifiers
    too. So multiplying a temperature that was fitted to the subset by this factor brings it nearer
    to that of all photos: a ratio estimate (Cochran 1977, "Sampling Techniques", chapter 6).
    Clipped to `RATIOS`.
    """
    ratio = fit_temperature(logits, labels) / fit_temperature(logits[subset], labels[subset])
    return float(np.clip(ratio, *RATIOS))


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> float:
    """Return the expected calibration error (ECE), from 0 to 1; 0 is perfect.

    `probabilities` [n, k], `labels` [n]. Photos are sorted by their best score into `bins` bins of
    equal width, (0, 1/bins] to (1 - 1/bins, 1]. The ECE is the mean over photos of the absolute
    difference between their bin's accuracy and its mean best score. With few photos it is biased
    upwards. Raises `ValueError` when there are no photos, or for shapes or labels that do not fit.
    """
    probabilities, labels = _checked(probabilities, labels)
    best = probabilities.max(axis=1)
    is_correct = probabilities.argmax(axis=1) == labels
    bin_of = np.clip(np.ceil(best * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=is_correct.astype(float) - best, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 scores [n, k] and labels [n]; raise `ValueError` if they do not fit."""
    scores = np.asarray(scores, dtype=np.float64)
    labels = np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ValueError(
            f"Scores must be [n, k] and labels [n], with n at least 1; they are {scores.shape} "
            f"and {labels.shape}."
        )
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f"Labels must be score indices, from 0 to {scores.shape[1] - 1}.")
    return scores, labels
