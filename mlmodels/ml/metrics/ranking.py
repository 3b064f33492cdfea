"""How well a score tells two kinds of photos apart: the area under the ROC curve (AUROC).

DeLong, DeLong and Clarke-Pearson 1988, "Comparing the Areas under Two or More Correlated Receiver
Operating Characteristic Curves: A Nonparametric Approach" (Biometrics 44, 837-845).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlmodels.ml.metrics.shares import (
    Z_95,
    GroupAccuracy,
    accuracy_by_group,
    wilson_interval,
)


@dataclass(frozen=True)
class Auroc:
    """An area under the ROC curve with its interval."""

    value: float
    """Probability that a positive photo scores above a negative one, ties counted half."""
    ci95: tuple[float, float]
    """95 % interval, from 0 to 1."""
    n_positive: int
    n_negative: int


@dataclass(frozen=True)
class GroupScope:
    """How well the photos of one group, such as a genus, are told from photos in scope."""

    group: str
    auroc: Auroc
    """The photos in scope against those of the group."""
    passed: GroupAccuracy[str]
    """Share of the group's photos that score at or above the threshold: taken for in scope."""


def auroc(
    positive_scores: Sequence[float] | np.ndarray, negative_scores: Sequence[float] | np.ndarray
) -> Auroc:
    """Return the area under the ROC curve of two samples of scores, with DeLong's interval.

    Positive photos should score higher. Tied scores count half. The interval is taken on the logit
    scale, which keeps it within 0 to 1 and its coverage near 1. Where DeLong's variance is 0
    (perfectly separated, or all tied) or unknown (one photo), it is Wilson's interval for as many
    pairs as the smaller sample has photos, which is wider. Raises `ValueError` for an empty sample
    or a score that is not a number.
    """
    positive, negative = (
        _checked("positive", positive_scores),
        _checked("negative", negative_scores),
    )
    m, n = len(positive), len(negative)
    positive_wins = _share_below(positive, np.sort(negative))
    negative_wins = _share_below(negative, np.sort(positive))
    value = float(positive_wins.mean())
    smaller = min(m, n)
    variance = 0.0
    if smaller > 1:
        variance = positive_wins.var(ddof=1) / m + negative_wins.var(ddof=1) / n
    if variance > 0 and 0 < value < 1:
        logit = math.log(value / (1 - value))
        half = Z_95 * math.sqrt(variance) / (value * (1 - value))
        ci95 = (_logistic(logit - half), _logistic(logit + half))
    else:
        ci95 = wilson_interval(value * smaller, smaller)
    return Auroc(value=value, ci95=ci95, n_positive=m, n_negative=n)


@dataclass(frozen=True)
class PairedAuroc:
    """The areas of two scores of the same photos."""

    first: float
    second: float
    ci95: tuple[float, float]
    """95 % interval of the first less the second."""
    n_positive: int
    n_negative: int


def paired_auroc(positive_scores: np.ndarray, negative_scores: np.ndarray) -> PairedAuroc:
    """Return the areas of two scores of the same photos, and their difference by DeLong's method.

    `positive_scores` [2, m], `negative_scores` [2, n]: a row for each score; m and n are at least
    two. Raises `ValueError` for other shapes and for a score that is not a number.
    """
    shapes = positive_scores.shape, negative_scores.shape
    if any(len(shape) != 2 or shape[0] != 2 or shape[1] < 2 for shape in shapes):
        raise ValueError(f"The scores must be [2, m] and [2, n], two or more, not {shapes}.")
    positive = [_checked("positive", row) for row in positive_scores]
    negative = [_checked("negative", row) for row in negative_scores]
    positive_wins, negative_wins = (
        [_share_below(row, np.sort(others)) for row, others in zip(*pair, strict=True)]
        for pair in ((positive, negative), (negative, positive))
    )
    first, second = (float(row.mean()) for row in positive_wins)
    variance = sum(
        (rows[0] - rows[1]).var(ddof=1) / len(rows[0]) for rows in (positive_wins, negative_wins)
    )
    half = Z_95 * math.sqrt(variance)
    return PairedAuroc(
        first=first,
        second=second,
        ci95=(first - second - half, first - second + half),
        n_positive=len(positive[0]),
        n_negative=len(negative[0]),
    )


def scope_by_group(
    positive_scores: Sequence[float] | np.ndarray,
    negative_scores: Sequence[float] | np.ndarray,
    groups: Sequence[str],
    threshold: float,
) -> tuple[GroupScope, ...]:
    """Return for each group of negative photos how well it is told apart, groups sorted.

    `groups` [n]: the group (genus) of each negative photo. `threshold`: photos that score at or
    above it pass as in scope. Raises `ValueError` as `auroc` does, and for lengths that differ.
    """
    negative = _checked("negative", negative_scores)
    passed = accuracy_by_group(negative >= threshold, groups)
    names = np.array(groups, dtype=object)
    return tuple(
        GroupScope(
            group=share.group,
            auroc=auroc(positive_scores, negative[names == share.group]),
            passed=share,
        )
        for share in passed
    )


def _share_below(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return for each score the share of the sorted `others` below it; ties count half."""
    below = np.searchsorted(others, scores, side="left")
    not_above = np.searchsorted(others, scores, side="right")
    return (below + not_above) / (2 * len(others))


def _logistic(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))


def _checked(name: str, scores: Sequence[float] | np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not len(scores):
        raise ValueError(f"The {name} scores must be [n], with n at least 1, not {scores.shape}.")
    if np.isnan(scores).any():
        raise ValueError(f"The {name} scores must be numbers; some are NaN.")
    return scores
