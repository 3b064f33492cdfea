"""Whether the int8 engine may serve: a paired test, and a bound of agreement."""

import numpy as np
import pytest

from mlmodels.ml.metrics import mcnemar_p_value
from mlmodels.ml.parity import Parity, compare_engines


def test_answers_are_compared_with_each_other_and_with_the_truth():
    labels = np.array([0, 0, 0, 1, 1])
    int8, of_float = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 0])
    parity = compare_engines(int8, of_float, labels)
    assert parity == Parity(n=5, agreed=2, only_int8=1, only_float=1)
    assert (parity.agreement, parity.accuracy_loss, parity.p_value) == (0.4, 0, 1)


@pytest.mark.parametrize(
    ("n", "agreed", "only_int8", "only_float", "holds"),
    [
        (184, 183, 0, 1, True),  # one photo of 184 is 0.54 points
        (300, 291, 0, 5, True),  # p = 0.0625: chance may explain this
        (300, 291, 0, 6, False),  # p = 0.03125
        (300, 291, 6, 0, True),  # better is not worse
        (300, 290, 3, 3, False),  # agrees on 96.7 %
        (100, 97, 0, 0, True),  # exactly 97 %
    ],
)
def test_int8_is_dropped_only_for_what_chance_does_not_explain(
    n, agreed, only_int8, only_float, holds
):
    assert Parity(n, agreed, only_int8, only_float).holds is holds


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [(0, 0, 1), (0, 5, 2 / 2**5), (6, 0, 2 / 2**6), (3, 12, 2 * (1 + 15 + 105 + 455) / 2**15)],
)
def test_mcnemar_p_value(only_first, only_second, p_value):
    assert mcnemar_p_value(only_first, only_second) == p_value
