"""Compares two versions photo by photo, on the photos that both were evaluated on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.messages import Message, Text, joined
from mlmodels.ml.answer_calibration import MIN_OTHERS
from mlmodels.ml.metrics import (
    SIGNIFICANCE_LEVEL,
    PairedAuroc,
    mcnemar_p_value,
    paired_auroc,
)
from mlmodels.models import ModelVersion
from predictions.models import Photo
from supervision.evaluations.selectors import VersionFigures
from supervision.models import Evaluation


@dataclass(frozen=True)
class PairedComparison:
    """Numbers of photos that both versions, only one of them, or neither named correctly."""

    both_right: int
    only_candidate: int
    only_current: int
    both_wrong: int

    @property
    def n(self) -> int:
        return self.both_right + self.only_candidate + self.only_current + self.both_wrong

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
        counts = Message(
            "Of %(count)d photos, %(only_candidate)d are named correctly only by %(candidate)s, "
            "%(only_current)d only by %(current)s (exact McNemar test: p = %(p_value).3f).",
            count=self.n,
            only_candidate=self.only_candidate,
            candidate=candidate,
            only_current=self.only_current,
            current=current,
            p_value=self.p_value,
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


def _answers(evaluation: Evaluation) -> dict[str, tuple[str, str, float]]:
    """Return (true species, answered species, score in percent) by the photo's SHA-256."""
    labels = evaluation.model_version.labels
    return {
        sha256: (labels[truth], labels[answer], score)
        for sha256, (truth, answer, score) in evaluation.answers.items()
    }


def compare_answers(
    candidate: Evaluation, current: Evaluation
) -> tuple[PairedComparison, Sequence[Disagreement]]:
    """Compare two evaluations photo by photo, on the photos that both have.

    Returns the counts, and the photos with different answers, sorted by the higher score of the
    two, highest first.
    """
    candidate_answers, current_answers = _answers(candidate), _answers(current)
    counts = dict.fromkeys([(True, True), (True, False), (False, True), (False, False)], 0)
    disagreements = []
    for sha256 in sorted(candidate_answers.keys() & current_answers.keys()):
        species, candidate_best, candidate_score = candidate_answers[sha256]
        _, current_best, current_score = current_answers[sha256]
        counts[candidate_best == species, current_best == species] += 1
        if candidate_best != current_best:
            disagreements.append(
                Disagreement(
                    sha256,
                    species,
                    candidate=(candidate_best, candidate_score),
                    current=(current_best, current_score),
                )
            )
    disagreements.sort(key=lambda photo: -max(photo.candidate[1], photo.current[1]))
    paired = PairedComparison(
        both_right=counts[True, True],
        only_candidate=counts[True, False],
        only_current=counts[False, True],
        both_wrong=counts[False, False],
    )
    return paired, disagreements


def compare_scopes(candidate: Evaluation, current: Evaluation) -> PairedAuroc | None:
    """Return how well both versions tell other species apart, on the photos both were measured on.

    None if these are fewer than `MIN_OTHERS` of the species, or of others.
    """
    shared = sorted(candidate.scopes.keys() & current.scopes.keys())
    known = [name for name in shared if name in candidate.answers and name in current.answers]
    others = [name for name in shared if name not in {*candidate.answers, *current.answers}]
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


def photos_by_sha256(disagreements: Sequence[Disagreement]) -> dict[str, Photo]:
    """Return the stored photos of `disagreements`, by SHA-256."""
    shown = Photo.objects.filter(sha256__in=[photo.sha256 for photo in disagreements])
    return {photo.sha256: photo for photo in shown}
