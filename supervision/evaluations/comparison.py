"""How two versions compare, photo by photo, on the photos that both were evaluated on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlmodels.models import ModelVersion
from predictions.models import Photo
from supervision.evaluations.selectors import VersionFigures
from supervision.models import Evaluation

SIGNIFICANT = 0.05
"""A difference that chance gives more seldom than this is taken for one."""


@dataclass(frozen=True)
class PairedComparison:
    """Two versions on the same photos, photo by photo: counts of photos."""

    both_right: int
    only_candidate: int
    only_current: int
    both_wrong: int

    @property
    def n(self) -> int:
        return self.both_right + self.only_candidate + self.only_current + self.both_wrong

    @property
    def p_value(self) -> float:
        """McNemar's exact test, two-sided: how often chance would divide the photos as unevenly
        on which only one version is right, were both equally good."""
        differing = self.only_candidate + self.only_current
        fewer = min(self.only_candidate, self.only_current)
        ways = sum(math.comb(differing, count) for count in range(fewer + 1))
        return min(1.0, 2 * ways / 2**differing)

    @property
    def is_worse(self) -> bool:
        """Whether the candidate has fewer right, by more than chance explains."""
        return self.only_candidate < self.only_current and self.p_value < SIGNIFICANT

    def in_words(self, candidate: ModelVersion, current: ModelVersion) -> str:
        """Return counts, p-value and what follows from them, as a sentence or two."""
        counts = (
            f"Of {self.n} photos, {self.only_candidate} are right with {candidate} only, "
            f"{self.only_current} with {current} only (exact McNemar test: p = {self.p_value:.3f})."
        )
        if self.only_candidate == self.only_current:
            return f"{counts} Neither has more right."
        better = candidate if self.only_candidate > self.only_current else current
        if self.p_value < SIGNIFICANT:
            return f"{counts} {better} is better, by more than chance explains."
        return f"{counts} {better} has more right; chance may explain it."


@dataclass(frozen=True)
class Disagreement:
    """A photo on which two versions answer differently."""

    sha256: str
    species: str
    """What it shows."""
    candidate: tuple[str, float]
    """Its answer and score in percent."""
    current: tuple[str, float]

    @property
    def who_is_right(self) -> str:
        if self.candidate[0] == self.species:
            return "candidate"
        return "current" if self.current[0] == self.species else "neither"


def _answers(evaluation: Evaluation) -> dict[str, tuple[str, str, float]]:
    """Return true species, answer and score by the photo's SHA-256, species by name."""
    labels = evaluation.model_version.labels
    return {
        sha256: (labels[truth], labels[answer], score)
        for sha256, (truth, answer, score) in evaluation.answers.items()
    }


def compare_answers(
    candidate: Evaluation, current: Evaluation
) -> tuple[PairedComparison, Sequence[Disagreement]]:
    """Compare two evaluations photo by photo, on the photos that both have.

    The photos on which they disagree come with the surest answers first.
    """
    ours, theirs = _answers(candidate), _answers(current)
    counts = dict.fromkeys([(True, True), (True, False), (False, True), (False, False)], 0)
    disagreements = []
    for sha256 in sorted(ours.keys() & theirs.keys()):
        species, ours_best, our_score = ours[sha256]
        _, theirs_best, their_score = theirs[sha256]
        counts[ours_best == species, theirs_best == species] += 1
        if ours_best != theirs_best:
            disagreements.append(
                Disagreement(sha256, species, (ours_best, our_score), (theirs_best, their_score))
            )
    disagreements.sort(key=lambda photo: -max(photo.candidate[1], photo.current[1]))
    paired = PairedComparison(
        both_right=counts[True, True],
        only_candidate=counts[True, False],
        only_current=counts[False, True],
        both_wrong=counts[False, False],
    )
    return paired, disagreements


@dataclass(frozen=True)
class SpeciesRow:
    """One species in both evaluations: shares from 0 to 1, or None where not measured."""

    species: str
    n: int
    candidate: float | None
    current: float | None

    @property
    def difference(self) -> float | None:
        if self.candidate is None or self.current is None:
            return None
        return self.candidate - self.current


def species_rows(candidate: VersionFigures, current: VersionFigures | None) -> list[SpeciesRow]:
    """Return the candidate's species with its accuracy, and the current version's beside it."""
    if candidate.metrics is None:
        return []
    theirs = (current.metrics if current else None) or {"per_species": []}
    others = {row["species"]: row["accuracy"] for row in theirs["per_species"]}
    return [
        SpeciesRow(row["species"], row["n"], row["accuracy"], others.get(row["species"]))
        for row in candidate.metrics["per_species"]
    ]


def photos_by_sha256(disagreements: Sequence[Disagreement]) -> dict[str, Photo]:
    """Return the photos to show beside disagreements."""
    shown = Photo.objects.filter(sha256__in=[photo.sha256 for photo in disagreements])
    return {photo.sha256: photo for photo in shown}
