import math
from statistics import NormalDist

import numpy as np
import pytest

from mlmodels.ml.metrics import accuracy_by_group, mcnemar_p_value, wilson_interval


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        (8, 10, 0.490163, 0.943318),  # the values of R's prop.test(correct=FALSE)
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
    ],
)
def test_wilson_interval_against_published_values(correct, n, low, high):
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(("correct", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_interval_refuses_invalid_counts(correct, n):
    with pytest.raises(ValueError, match="not a share"):
        wilson_interval(correct, n)


def test_accuracy_by_group_counts_each_group_in_the_order_of_the_groups():
    is_right = np.array([True, False, True, True, False])
    small, large = accuracy_by_group(is_right, [1280, 160, 160, 1280, 160])
    assert (small.group, small.n, small.correct, small.accuracy) == (160, 3, 1, 1 / 3)
    assert (large.group, large.n, large.correct, large.accuracy) == (1280, 2, 2, 1.0)
    assert (small.ci95, large.ci95) == (wilson_interval(1, 3), wilson_interval(2, 2))


def test_no_photos_make_no_groups():
    assert accuracy_by_group([], []) == ()


def test_answers_and_groups_of_different_numbers_are_refused():
    with pytest.raises(ValueError, match="2 answers but 3 groups"):
        accuracy_by_group([True, False], ["a", "b", "c"])


def test_mcnemar_is_exact_for_few_photos_and_quick_for_many() -> None:
    for first in range(12):
        for second in range(12):
            n, fewer = first + second, min(first, second)
            exact = 2 * sum(math.comb(n, count) for count in range(fewer + 1)) / 2**n
            assert mcnemar_p_value(first, second) == min(1.0, exact)
    normal = 2 * (1 - NormalDist().cdf((10_300 - 10_000 - 1) / math.sqrt(20_300)))
    assert mcnemar_p_value(10_300, 10_000) == pytest.approx(normal, rel=1e-3)
