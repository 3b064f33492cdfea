"""The rule by which a probability supports or contradicts a proposed name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Judgement = Literal["supported", "contradicted", "undecided"]


@dataclass(frozen=True)
class VerdictRule:
    """Two thresholds, as a version's card states them: probabilities from 0 to 1.

    Raises ValueError unless 0 <= contradicted_below <= supported_from <= 1.
    """

    supported_from: float
    """A name that is right with this probability or more is supported."""
    contradicted_below: float
    """A name that is right with a lower probability is contradicted."""

    def __post_init__(self) -> None:
        if not 0 <= self.contradicted_below <= self.supported_from <= 1:
            raise ValueError(
                "a verdict rule must have 0 <= contradicted_below <= supported_from <= 1, not "
                f"{self.contradicted_below!r} and {self.supported_from!r}."
            )


def judge(probability: float | None, rule: VerdictRule) -> Judgement:
    """Return what a rule says of a name that is right with this probability (0 to 1).

    A name whose probability is not known (None) is undecided.
    """
    if probability is None:
        return "undecided"
    if probability >= rule.supported_from:
        return "supported"
    return "contradicted" if probability < rule.contradicted_below else "undecided"


def rule_from_card(card: Mapping[str, Any]) -> VerdictRule | None:
    """Return the rule in a card's field `verdict_rule`, or None if the card has none."""
    rule = card.get("verdict_rule")
    return VerdictRule(**rule) if rule else None
