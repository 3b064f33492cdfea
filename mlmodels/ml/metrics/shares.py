"""Shares of photos: intervals, groups, and the comparison of two classifiers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np

Z_95 = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""
SIGNIFICANCE_LEVEL = 0.05
"""A difference with a lower p-value counts as real."""

Group = TypeVar("Group", int, str)


@dataclass(frozen=True)
class GroupAccuracy(Generic[Group]):
    """The accuracy on one group of photos, such as the photos of one size."""

    group: Group
    n: int
    """Photos of the group; at least 1."""
    correct: int
    accuracy: float
    """From 0 to 1."""
    ci95: tuple[float, float]
    """Wilson's 95 % interval of the accuracy."""


def wilson_interval(correct: float, n: int, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval (Wilson 1927) of the share `correct` / `n`, from 0 to 1.

    `z` is the normal quantile, for a 95 % interval by default. `correct` may be a fraction, where
    some count half. Raises `ValueError` unless 0 <= correct <= n and n >= 1.
    """
    if not 0 <= correct <= n or n < 1:
        raise ValueError(f"{correct} of {n} is not a share.")
    share = correct / n
    denominator = 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / denominator
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / denominator
    low = 0.0 if correct == 0 else centre - half
    high = 1.0 if correct == n else centre + half
    return low, high


def accuracy_by_group(
    is_right: Sequence[bool] | np.ndarray, groups: Sequence[Group]
) -> tuple[GroupAccuracy[Group], ...]:
    """Return the accuracy on each group of photos, in the order of the sorted groups.

    `is_right` bool [n]: whether the answer to each photo was right; `groups` [n]: each photo's
    group, a number or a text. Empty for no photos. Raises `ValueError` for different lengths.
    """
    if len(is_right) != len(groups):
        raise ValueError(f"There are {len(is_right)} answers but {len(groups)} groups.")
    outcomes: dict[Group, list[bool]] = {}
    for group, right in zip(groups, is_right, strict=True):
        outcomes.setdefault(group, []).append(bool(right))
    return tuple(
        GroupAccuracy(
            group=group,
            n=len(rights),
            correct=sum(rights),
            accuracy=sum(rights) / len(rights),
            ci95=wilson_interval(sum(rights), len(rights)),
        )
        for group, rights in sorted(outcomes.items())
    )


@lru_cache(maxsize=64)
def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Return the p-value of McNemar's exact test, two-sided, from 0 to 1.

    The arguments are the numbers of photos that only the first, and only the second, of two
    classifiers named correctly. The p-value is the probability that chance divides these photos at
    least as unevenly, if both classifiers are equally good.
    """
    differing = only_first + only_second
    fewer = min(only_first, only_second)
    ways = of_count = 1
    for count in range(fewer):  # each binomial coefficient from the one before: exact, and quick
        of_count = of_count * (differing - count) // (count + 1)
        ways += of_count
    return min(1.0, 2 * ways / 2**differing)
