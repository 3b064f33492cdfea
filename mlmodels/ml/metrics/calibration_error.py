"""Calibration error without the bias of small samples, and reliability diagrams.

Kumar, Liang and Ma 2019, "Verified Uncertainty Calibration" (arXiv:1909.10155).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlmodels.ml.metrics.shares import wilson_interval

BINS = 15
MIN_PHOTOS = 2
"""Photos in a bin: the variance of its accuracy needs two."""
RESAMPLES = 1000
"""Bootstrap samples of an interval."""


@dataclass(frozen=True)
class CalibrationEstimate:
    """A calibration error, from 0 to 1, without the bias that small samples bring."""

    value: float
    """The root mean square difference between a bin's accuracy and its mean confidence."""
    ci95: tuple[float, float]
    """Bootstrap 95 % interval of `value`."""
    squared: float
    """The unbiased estimate of the squared error; below 0 where chance would do worse.

    Average this, not `value`, over several measurements: `value` is cut off at 0.
    """
    n: int
    """Photos."""
    n_bins: int
    """Bins that were used."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The photos of one bin of a reliability diagram."""

    n: int
    """Photos; at least 2."""
    confidence: float
    """Mean confidence, from 0 to 1."""
    accuracy: float
    """Share of the photos whose answer was right, from 0 to 1."""
    ci95: tuple[float, float]
    """Wilson's 95 % interval of the accuracy."""


def debiased_calibration_error(
    confidences: Sequence[float] | np.ndarray,
    is_right: Sequence[bool] | np.ndarray,
    n_bins: int = BINS,
    *,
    seed: int = 0,
) -> CalibrationEstimate:
    """Return the debiased L2 calibration error of the best scores, with a bootstrap interval.

    `confidences` [n]: the best score of each photo, from 0 to 1; `is_right` bool [n]: whether it
    was the true species'. Photos are sorted by confidence into `n_bins` bins of equally many. From
    each bin's squared gap between accuracy and mean confidence the gap's variance is subtracted:
    the paper's L2 estimator, for confidences that differ within a bin. (The paper's L1 variant and
    the plain expected calibration error stay well above 0 for a perfectly calibrated model, where
    photos are few.) Equal confidences share a bin, and a bin has two photos at least, so there may
    be fewer bins.

    The interval comes from resampled photos, drawn by `seed`, in the same bins. Raises `ValueError`
    for fewer than two photos, shapes that do not fit or confidences outside 0 to 1.
    """
    confidences, is_right = _checked(confidences, is_right)
    n = len(confidences)
    bin_of = _equal_mass_bins(confidences, n_bins)
    gaps = is_right - confidences
    plain, squared = _squared_errors(bin_of, gaps)
    rng = np.random.default_rng(seed)
    resampled = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = rng.integers(n, size=n)
        resampled[i] = _squared_errors(bin_of[drawn], gaps[drawn])[1]
    # The gaps of the sample are the truth of its resamples: they scatter around `plain`.
    low, high = squared - np.quantile(resampled - plain, (0.975, 0.025))
    return CalibrationEstimate(
        value=_root(squared),
        ci95=(min(_root(low), _root(squared)), max(_root(high), _root(squared))),
        squared=squared,
        n=n,
        n_bins=int(bin_of.max()) + 1,
    )


def reliability_bins(
    confidences: Sequence[float] | np.ndarray,
    is_right: Sequence[bool] | np.ndarray,
    n_bins: int = BINS,
) -> tuple[ReliabilityBin, ...]:
    """Return bins of equally many photos, from the lowest confidences to the highest.

    Arguments and errors as for `debiased_calibration_error`.
    """
    confidences, is_right = _checked(confidences, is_right)
    bin_of = _equal_mass_bins(confidences, n_bins)
    bins = []
    for i in range(int(bin_of.max()) + 1):
        inside = bin_of == i
        n, correct = int(inside.sum()), int(is_right[inside].sum())
        bins.append(
            ReliabilityBin(
                n=n,
                confidence=float(confidences[inside].mean()),
                accuracy=correct / n,
                ci95=wilson_interval(correct, n),
            )
        )
    return tuple(bins)


def _equal_mass_bins(confidences: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the bin of each photo, integers [n] from 0; no bin has fewer than `MIN_PHOTOS`."""
    if n_bins < 1:
        raise ValueError(f"There must be at least one bin, not {n_bins}.")
    n, ordered = len(confidences), np.sort(confidences)
    edges: list[float] = []
    start = 0
    for i in range(1, n_bins):
        edge = ordered[n * i // n_bins]
        below = int(np.searchsorted(ordered, edge))  # equal confidences all go above the edge
        if below - start >= MIN_PHOTOS and n - below >= MIN_PHOTOS:
            edges.append(edge)
            start = below
    return np.searchsorted(np.array(edges), confidences, side="right")


def _squared_errors(bin_of: np.ndarray, gaps: np.ndarray) -> tuple[float, float]:
    """Return the squared calibration error, plain and debiased.

    `gaps` [n]: 1 minus the confidence where the answer was right, else minus the confidence.
    """
    counts = np.bincount(bin_of)
    # A resample may leave a bin with one photo, whose variance is unknown, or with none.
    is_used = counts >= MIN_PHOTOS
    n = counts[is_used]
    mean = np.bincount(bin_of, gaps)[is_used] / n
    mean_square = np.bincount(bin_of, gaps**2)[is_used] / n
    weights = n / n.sum()
    plain = float(weights @ mean**2)
    return plain, plain - float(weights @ ((mean_square - mean**2) / (n - 1)))


def _root(squared: float) -> float:
    return math.sqrt(min(max(0.0, squared), 1.0))


def _checked(
    confidences: Sequence[float] | np.ndarray, is_right: Sequence[bool] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64 [n]; raise `ValueError` if they do not fit."""
    confidences = np.asarray(confidences, dtype=np.float64)
    is_right = np.asarray(is_right)
    if confidences.ndim != 1 or is_right.shape != confidences.shape:
        raise ValueError(
            f"Confidences and answers must both be [n]; they are {confidences.shape} and "
            f"{is_right.shape}."
        )
    if len(confidences) < MIN_PHOTOS:
        raise ValueError(f"A calibration error needs {MIN_PHOTOS} photos, not {len(confidences)}.")
    if not ((confidences >= 0) & (confidences <= 1)).all():  # false for NaN, too
        raise ValueError("Confidences must be from 0 to 1.")
    return confidences, is_right.astype(np.float64)
