"""Compares two versions photo by photo, on the photos that both were evaluated on."""

from dataclasses import dataclass

import numpy as np
from django.db import connection

from common.messages import Message, Text, joined
from mlmodels.ml.answer_calibration import MIN_OTHERS
from mlmodels.ml.metrics import (
    SIGNIFICANCE_LEVEL,
    PairedAuroc,
    mcnemar_p_value,
    paired_auroc,
)
from mlmodels.models import ModelVersion
from supervision.evaluations.selectors import VersionFigures
from supervision.models import Evaluation


@dataclass(frozen=True)
class PairedComparison:
    """Numbers of photos that both versions, only one of them, or neither named correctly."""

    both_right: int
    only_candidate: int
    only_current: int
    both_wrong: int
    both_wrong_differently: int
    """Of `both_wrong`: those that they name differently."""

    @property
    def n(self) -> int:
        return self.both_right + self.only_candidate + self.only_current + self.both_wrong

    @property
    def n_disagreements(self) -> int:
        """Return the number of photos to which they give different answers."""
        return self.only_candidate + self.only_current + self.both_wrong_differently

    @property
    def p_value(self) -> float:
        """Return the p-value of McNemar's exact test, two-sided."""
        return mcnemar_p_value(self.only_candidate, self.only_current)

    @property
    def is_worse(self) -> bool:
        """Return whether the candidate is right on fewer photos, by more than chance explains."""
        return self.only_candidate < self.only_current and self.p_value < SIGNIFICANCE_LEVEL

    def in_words(self, candidate: ModelVersion, current: ModelVersion) -> Text:
        """Return the counts, the p-value and the conclusion, in two sentences."""
        named = {
            "count": self.n,
            "only_candidate": self.only_candidate,
            "candidate": candidate,
            "only_current": self.only_current,
            "current": current,
        }
        counts = (
            Message(
                "Of %(count)d photos, %(only_candidate)d are named correctly only by "
                "%(candidate)s, %(only_current)d only by %(current)s (exact McNemar test: "
                "p < 0.001).",
                **named,
            )
            if self.p_value < 0.001
            else Message(
                "Of %(count)d photos, %(only_candidate)d are named correctly only by "
                "%(candidate)s, %(only_current)d only by %(current)s (exact McNemar test: "
                "p = %(p_value).3f).",
                **named,
                p_value=self.p_value,
            )
        )
        return joined([counts, self._conclusion(candidate, current)])

    def _conclusion(self, candidate: ModelVersion, current: ModelVersion) -> Message:
        if self.only_candidate == self.only_current:
            return Message("Neither is right on more photos.")
        better = candidate if self.only_candidate > self.only_current else current
        if self.p_value < SIGNIFICANCE_LEVEL:
            return Message("%(version)s is better, by more than chance explains.", version=better)
        return Message(
            "%(version)s is right on more photos, but chance may explain it.", version=better
        )


WHO_IS_RIGHT = ("candidate", "current", "neither")


@dataclass(frozen=True)
class Disagreement:
    """A photo on which two versions answer differently."""

    sha256: str
    species: str
    """The true species."""
    candidate: tuple[str, float]
    """The candidate's answer and its score in percent."""
    current: tuple[str, float]

    @property
    def who_is_right(self) -> str:
        if self.candidate[0] == self.species:
            return "candidate"
        return "current" if self.current[0] == self.species else "neither"


_PAIRS = """
    FROM supervision_evaluationanswer AS candidate
    JOIN supervision_evaluationanswer AS current USING (sha256)
    WHERE candidate.evaluation_id = %(candidate)s AND current.evaluation_id = %(current)s
"""
_COUNTS = f"""
    SELECT
        count(*) FILTER (WHERE candidate.is_right AND current.is_right),
        count(*) FILTER (WHERE candidate.is_right AND NOT current.is_right),
        count(*) FILTER (WHERE current.is_right AND NOT candidate.is_right),
        count(*) FILTER (WHERE NOT candidate.is_right AND NOT current.is_right),
        count(*) FILTER (WHERE NOT candidate.is_right AND NOT current.is_right
                         AND candidate.answered <> current.answered)
    {_PAIRS}
"""
_DISAGREEMENTS = f"""
    SELECT sha256, candidate.species, candidate.answered, candidate.score,
           current.answered, current.score
    {_PAIRS} AND candidate.answered <> current.answered
    AND %(right)s IN ('', CASE WHEN candidate.is_right THEN 'candidate'
                               WHEN current.is_right THEN 'current' ELSE 'neither' END)
    ORDER BY greatest(candidate.score, current.score) DESC, sha256
    LIMIT %(limit)s OFFSET %(offset)s
"""


def compare_answers(candidate: Evaluation, current: Evaluation) -> PairedComparison:
    """Count photo by photo who is right, on the photos that both evaluations have."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, {"candidate": candidate.pk, "current": current.pk})
        return PairedComparison(*cursor.fetchone())


def disagreements(
    candidate: Evaluation,
    current: Evaluation,
    *,
    right: str = "",
    limit: int,
    offset: int = 0,
) -> list[Disagreement]:
    """Return photos with different answers, by the higher score of the two, highest first.

    `right` is one of WHO_IS_RIGHT: only photos on which the candidate, the current version or
    neither is right; empty for all.
    """
    parameters: dict[str, int | str] = {"candidate": candidate.pk, "current": current.pk}
    parameters |= {"right": right, "limit": limit, "offset": offset}
    with connection.cursor() as cursor:
        cursor.execute(_DISAGREEMENTS, parameters)
        return [
            Disagreement(sha256, species, candidate=(first, score), current=(second, other_score))
            for sha256, species, first, score, second, other_score in cursor.fetchall()
        ]


def compare_scopes(candidate: Evaluation, current: Evaluation) -> PairedAuroc | None:
    """Return how well both versions tell other species apart, on the photos both were measured on.

    None if these are fewer than `MIN_OTHERS` of the species, or of others.
    """
    shared = sorted(candidate.scopes.keys() & current.scopes.keys())
    first, second = (
        set(evaluation.answers.order_by().values_list("sha256", flat=True))
        for evaluation in (candidate, current)
    )
    known = [name for name in shared if name in first and name in second]
    others = [name for name in shared if name not in first | second]
    if min(len(known), len(others)) < MIN_OTHERS:
        return None
    known_scopes, other_scopes = (
        np.array(
            [[evaluation.scopes[name] for name in names] for evaluation in (candidate, current)]
        )
        for names in (known, others)
    )
    return paired_auroc(known_scopes, other_scopes)


@dataclass(frozen=True)
class SpeciesRow:
    """One species in both evaluations: accuracies from 0 to 1, or None if not measured."""

    species: str
    n: int
    """Number of the candidate's evaluation photos of this species."""
    candidate: float | None
    current: float | None

    @property
    def difference(self) -> float | None:
        if self.candidate is None or self.current is None:
            return None
        return self.candidate - self.current


def species_rows(candidate: VersionFigures, current: VersionFigures | None) -> list[SpeciesRow]:
    """Return a row for each species of the candidate, with both accuracies."""
    if candidate.metrics is None:
        return []
    current_metrics = (current.metrics if current else None) or {"per_species": []}
    current_accuracies = {row["species"]: row["accuracy"] for row in current_metrics["per_species"]}
    return [
        SpeciesRow(
            row["species"], row["n"], row["accuracy"], current_accuracies.get(row["species"])
        )
        for row in candidate.metrics["per_species"]
    ]
