"""How often the people who asked agree with the answers, for the dashboard."""

from collections import defaultdict
from dataclasses import dataclass

from django.db.models import Case, Count, F, Q, Value, When

from common.messages import Message
from common.paging import capped_count
from mlmodels.models import ModelVersion
from predictions.models import Feedback
from supervision.review.selectors import MAX_FEEDBACK

SCORES = (50, 70, 90)
"""Bounds in percent between which the agreement is told."""
MAX_COMPARED = 1000
"""Pieces of feedback that are compared with the answers."""
NONE = "none of its species"
"""Takes the place of a species where a photo was found out of scope."""


@dataclass(frozen=True)
class Agreement:
    """Of `n` pieces of feedback, how many agree with what was answered."""

    of: str
    n: int
    agreeing: int

    @property
    def percent(self) -> float:
        return 100 * self.agreeing / self.n

    @property
    def is_species(self) -> bool:
        """Return whether it is of a row of `FeedbackCounts.by_species` that is a species."""
        return self.of != NONE


@dataclass(frozen=True)
class FeedbackCounts:
    """What people say about the answers of one version."""

    total: Agreement
    by_species: tuple[Agreement, ...]
    """By the species that was answered; last `NONE`, where that was the answer."""
    by_score: tuple[Agreement, ...]
    """By the best score, the lowest scores first."""


def feedback_counts(version: ModelVersion) -> FeedbackCounts | None:
    """Return how often people agree with a version's answers; None without any feedback.

    Of all feedback the newest MAX_COMPARED pieces are looked at.

    They agree if they name the species with the highest score or, where the answer was that the
    photo is out of scope, if they name none of the version's species.
    """
    inference = "prediction__inference"
    is_out_of_scope = Q(**{f"{inference}__in_scope": False})
    names_best = Q(species__name=F(f"{inference}__best_species"))
    names_none = Q(species=None) | ~Q(species__name__in=version.labels)
    agrees = (is_out_of_scope & names_none) | (~is_out_of_scope & names_best)
    bands = [When(**{f"{inference}__best_score__lt": bound}, then=Value(bound)) for bound in SCORES]
    newest = Feedback.objects.order_by("-id").values("pk")[:MAX_COMPARED]
    rows = (
        Feedback.objects.filter(**{"pk__in": newest, f"{inference}__model_version": version})
        .order_by()
        .values_list(
            Case(When(is_out_of_scope, then=Value(NONE)), default=F(f"{inference}__best_species")),
            Case(*bands, default=Value(101)),
        )
        .annotate(n=Count("pk"), agreeing=Count("pk", filter=agrees))
    )
    by_species: dict[str, list[tuple[int, int]]] = defaultdict(list)
    by_score: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for species, bound, n, agreeing in rows:
        by_species[species].append((n, agreeing))
        by_score[bound].append((n, agreeing))
    if not by_species:
        return None
    return FeedbackCounts(
        total=_sum("all", [pair for pairs in by_species.values() for pair in pairs]),
        by_species=tuple(
            _sum(name, by_species[name])
            for name in sorted(by_species, key=lambda name: (name == NONE, name))
        ),
        by_score=tuple(_sum(_band(bound), by_score[bound]) for bound in sorted(by_score)),
    )


def waiting_feedback() -> int:
    """Return how many pieces of feedback wait for a review of a photo that is still stored.

    Counting stops at MAX_FEEDBACK of the review.
    """
    waiting = Feedback.objects.filter(reviewed_at=None)
    return capped_count(waiting.exclude(prediction__inference__photo__file=""), MAX_FEEDBACK)


def _sum(of: str, pairs: list[tuple[int, int]]) -> Agreement:
    return Agreement(of, sum(n for n, _ in pairs), sum(agreeing for _, agreeing in pairs))


def _band(bound: int) -> str:
    if bound == SCORES[0]:
        return str(Message("below %(bound)d %%", bound=bound))
    if bound > SCORES[-1]:
        return str(Message("%(bound)d %% and more", bound=SCORES[-1]))
    below = SCORES[SCORES.index(bound) - 1]
    return str(Message("%(low)d to %(high)d %%", low=below, high=bound))
