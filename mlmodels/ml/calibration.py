"""Scores that mean what they say: temperature scaling and how to measure it.

Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv:1706.04599).
"""

from __future__ import annotations

import numpy as np

BINS = 15
TEMPERATURES = (0.05, 20.0)
"""The range in which the temperature is sought."""
RATIOS = (0.5, 2.0)
"""A ratio of temperatures beyond these says that something else is wrong."""


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities [..., k], float64, each row summing to 1, from logits [..., k].

    The logits are divided by `temperature`, which must be positive: above 1 makes scores humbler,
    and never changes which is the best.
    """
    if not temperature > 0:
        raise ValueError(f"The temperature must be positive, not {temperature}.")
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def negative_log_likelihood(
    logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0
) -> float:
    """Mean of -log(probability of the right label), in nats; 0 is perfect.

    `logits` [n, k], `labels` integers [n] from 0 to k - 1.
    """
    logits, labels = _checked(logits, labels)
    scaled = logits / temperature
    largest = scaled.max(axis=1)
    log_sum = largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))
    return float((log_sum - scaled[np.arange(len(labels)), labels]).mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature at which held-out `logits` [n, k] are most likely for their `labels` [n].

    The photos must not have been trained on. Raises `ValueError` when there are none. Where every
    label is right (or the labels say nothing) the likelihood has no inner maximum and the answer is
    near an end of `TEMPERATURES`; it is never outside.
    """
    # Late: serving needs the softmax only, and not 30 MB of SciPy.
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


def temperature_ratio(logits: np.ndarray, labels: np.ndarray, some: np.ndarray) -> float:
    """How much lower (or higher) the temperature of all photos is than that of `some` of them.

    `logits` [n, k], none of them by a classifier that saw its photo; `labels` [n]; `some` bool [n].
    What a few photos are easier or harder than the rest they are for other classifiers too, so a
    temperature fitted to them is brought nearer to that of all by this factor: a ratio estimate
    (Cochran 1977, "Sampling Techniques", chapter 6). Kept within `RATIOS`.
    """
    ratio = fit_temperature(logits, labels) / fit_temperature(logits[some], labels[some])
    return float(np.clip(ratio, *RATIOS))


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> float:
    """How far the best score is from the share of right answers, 0 to 1: the ECE.

    `probabilities` [n, k], `labels` [n]. Photos are sorted by their best score into `bins` bins of
    equal width, (0, 1/bins] to (1 - 1/bins, 1]; the ECE is the mean over photos of the difference
    between their bin's accuracy and its mean best score. With few photos it is biased upwards.
    """
    probabilities, labels = _checked(probabilities, labels)
    best = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bin_of = np.clip(np.ceil(best * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=right.astype(float) - best, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores = np.asarray(scores, dtype=np.float64)
    labels = np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ValueError(
            f"Scores [n, k] and labels [n] with n at least 1 are needed, not {scores.shape} "
            f"and {labels.shape}."
        )
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError("A label is no index of the scores.")
    return scores, labels
