"""Reads on the queue: what waits, in which order, and who holds what."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Case, Exists, IntegerField, OuterRef, Q, QuerySet, Value, When

from accounts.models import User
from observations.models import Observation, ProposedName, QueueEntry
from predictions.models import Prediction

RANKS = ("contradicted", "out of scope", "undecided", "other")
"""Why a find is worth a look, the most urgent first."""


def waiting_entries(now: datetime) -> QuerySet[QueueEntry]:
    """Return the entries that could be given to somebody now, the most urgent first.

    Each has its `rank`, an index of RANKS. Of one rank the oldest find comes first.
    """
    return ranked(QueueEntry.objects.filter(IS_UNDECIDED, is_free(now)))


def waiting_counts(now: datetime) -> list[tuple[str, int]]:
    """Return how many of the waiting entries have each rank, the most urgent first."""
    ranks = [entry.rank for entry in waiting_entries(now)]  # type: ignore[attr-defined]
    return [(name, ranks.count(rank)) for rank, name in enumerate(RANKS)]


IS_UNDECIDED = Q(
    is_to_read=False,
    observation__status=Observation.Status.DONE,
    observation__decision=Observation.Decision.NONE,
)
"""Entries whose answer is known, and about which nobody has decided."""


def is_free(now: datetime) -> Q:
    """Return which entries nobody holds."""
    return Q(leased_until=None) | Q(leased_until__lte=now)


def ranked(entries: QuerySet[QueueEntry]) -> QuerySet[QueueEntry]:
    """Return entries with their `rank`, an index of RANKS, in the order of `waiting_entries`."""
    names = ProposedName.objects.filter(observation=OuterRef("observation"))
    conditions = (
        Exists(names.filter(verdict="contradicted")),
        Q(observation__answer__scope__in_scope=False),
        Exists(names.filter(verdict="undecided")),
    )
    ranks = [When(condition, then=Value(rank)) for rank, condition in enumerate(conditions)]
    last = Value(len(RANKS) - 1)
    rank = Case(*ranks, default=last, output_field=IntegerField())
    return entries.annotate(rank=rank).order_by("rank", "mushroom_observer_id")


def entries_to_read(now: datetime) -> QuerySet[QueueEntry]:
    """Return the entries to read at the site, the newest find first.

    One that a verifier holds waits until the lease is over.
    """
    return QueueEntry.objects.filter(is_free(now), is_to_read=True).order_by(
        "-mushroom_observer_id"
    )


def held_entries(user: User, now: datetime) -> QuerySet[QueueEntry]:
    """Return the entries that the user holds and has not decided, longest held first."""
    held = QueueEntry.objects.filter(IS_UNDECIDED, leased_to=user, leased_until__gt=now)
    return held.order_by("leased_until", "pk")


def given_to(user: User) -> QuerySet[Observation]:
    """Return the undecided observations that the user was the last to get from the queue.

    They stay so after the lease until somebody else gets them, so that no work is lost.
    """
    undecided = Observation.objects.filter(
        source=Observation.Source.QUEUE, decision=Observation.Decision.NONE
    )
    return undecided.filter(queue_entry__leased_to=user).order_by()


def is_shown_to(user: User) -> Q:
    """Return which predictions are photos of a find that the queue gave to the user, or theirs."""
    decided = Observation.objects.filter(source=Observation.Source.QUEUE, user=user)
    photo = "observation_photo__observation__in"
    return Q(**{photo: given_to(user).values("pk")}) | Q(**{photo: decided.order_by().values("pk")})


def pending_photos() -> int:
    """Return how many photos of the queue are not answered yet."""
    of_queue = Q(observation_photo__observation__source=Observation.Source.QUEUE)
    return Prediction.objects.filter(of_queue, status=Prediction.Status.PENDING).count()


def old_entries(now: datetime) -> QuerySet[QueueEntry]:
    """Return the entries about which nothing was heard for CHAMPIPY_KEEP_PREDICTIONS_DAYS.

    Those with an observation, which is deleted at that age, go after it.
    """
    days = settings.CHAMPIPY_KEEP_PREDICTIONS_DAYS
    if days <= 0:
        return QueueEntry.objects.none()
    old = QueueEntry.objects.filter(read_at__lt=now - timedelta(days=days))
    return old.filter(observation=None, is_to_read=False).order_by("read_at")
