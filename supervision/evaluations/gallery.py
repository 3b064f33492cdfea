"""Finds the photos behind a figure of an evaluation: each cell, species, bar, and genus."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from django.db.models import QuerySet

from predictions.labels import label_of
from predictions.models import Photo
from supervision.models import Evaluation, EvaluationAnswer, EvaluationOther

Rightness = Literal["wrong", "right", "all"]
Outcome = Literal["passed", "held_out", "all"]
"""Whether a photo of another species was taken for one of the version's, or found out of scope."""

Answer = TypeVar("Answer", EvaluationAnswer, EvaluationOther)


@dataclass(frozen=True)
class PhotoFilter:
    """Which photos of an evaluation to show; what is empty or None does not matter."""

    species: str = ""
    """The true species."""
    answered: str = ""
    score_bin: int | None = None
    """Bin of the reliability diagram, from 0."""
    rightness: Rightness = "all"

    def answers(self, evaluation: Evaluation) -> QuerySet[EvaluationAnswer]:
        """Return these answers of an evaluation, the surest first."""
        answers = evaluation.answers.all()
        if self.species:
            answers = answers.filter(species=self.species)
        if self.answered:
            answers = answers.filter(answered=self.answered)
        if self.score_bin is not None:
            answers = answers.filter(score_bin=self.score_bin)
        if self.rightness != "all":
            answers = answers.filter(is_right=self.rightness == "right")
        return answers


@dataclass(frozen=True)
class OthersFilter:
    """Which photos of other species to show; what is empty does not matter."""

    genus: str = ""
    answered: str = ""
    outcome: Outcome = "all"

    def answers(self, evaluation: Evaluation) -> QuerySet[EvaluationOther]:
        """Return the answers to these photos, those first that seem most to be in scope."""
        answers = evaluation.others.all()
        if self.genus:
            answers = answers.filter(genus=self.genus)
        if self.answered:
            answers = answers.filter(answered=self.answered)
        if self.outcome != "all":
            answers = answers.filter(in_scope=self.outcome == "passed")
        return answers


@dataclass(frozen=True)
class ShownPhoto:
    """A photo of an evaluation set as it is stored now."""

    photo: Photo | None
    """None if it is no longer stored."""
    label: str
    """What it counts as now, which may differ from the frozen label; empty without a label."""


def shown_photos(sha256s: Iterable[str]) -> dict[str, ShownPhoto]:
    """Return photos by SHA-256; those that are no longer stored have no photo."""
    wanted = list(sha256s)
    stored = Photo.objects.filter(sha256__in=wanted).select_related("label", "reviewed_by")
    found = {
        photo.sha256: ShownPhoto(photo if photo.file else None, str(label_of(photo) or ""))
        for photo in stored
    }
    return {sha256: found.get(sha256, ShownPhoto(None, "")) for sha256 in wanted}


def with_photos(
    answers: Sequence[Answer],
) -> list[tuple[Answer, ShownPhoto]]:
    """Return each answer with its photo, in the same order."""
    photos = shown_photos(answer.sha256 for answer in answers)
    return [(answer, photos[answer.sha256]) for answer in answers]
