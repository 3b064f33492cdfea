"""The rule by which a probability supports or contradicts a proposed name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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


def judge(probability: float | None, rule: VerdictRule, *, is_in_scope: bool = True) -> Judgement:
    """Return what a rule says of a name that is right with this probability (0 to 1).

    A name whose probability is not known (None) is undecided. Where the answer is that a photo
    shows none of the species, no name is supported.
    """
    if probability is None:
        return "undecided"
    if probability >= rule.supported_from:
        return "supported" if is_in_scope else "undecided"
    return "contradicted" if probability < rule.contradicted_below else "undecided"
