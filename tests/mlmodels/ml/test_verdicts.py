"""The rule for verdicts: its limits."""

import math

import pytest

from mlmodels.ml.verdicts import VerdictRule, judge

RULE = VerdictRule(supported_from=0.6, contradicted_below=0.005)


@pytest.mark.parametrize(
    ("probability", "judgement"),
    [
        (1.0, "supported"),
        (0.6, "supported"),
        (0.5999, "undecided"),
        (0.005, "undecided"),
        (0.0049, "contradicted"),
        (0.0, "contradicted"),
        (None, "undecided"),
    ],
)
def test_each_limit_belongs_to_the_milder_or_better_side(probability, judgement) -> None:
    assert judge(probability, RULE) == judgement


@pytest.mark.parametrize("limits", [(0.1, 0.2), (1.1, 0.2), (0.5, -0.1), (math.nan, 0.1)])
def test_limits_that_contradict_each_other_are_refused(limits) -> None:
    with pytest.raises(ValueError, match="a verdict rule must have"):
        VerdictRule(*limits)


def test_no_name_is_supported_where_a_photo_shows_none_of_the_species() -> None:
    assert judge(0.99, RULE, is_in_scope=False) == "undecided"
    assert judge(0.3, RULE, is_in_scope=False) == "undecided"
    assert judge(0.001, RULE, is_in_scope=False) == "contradicted"
