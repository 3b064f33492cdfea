"""Reads on the queue: what waits, in which order, and who holds what."""

from collections import Counter
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Case, Count, Exists, IntegerField, OuterRef, Q, QuerySet, Value, When
from django.utils.translation import gettext_lazy

from accounts.models import User
from observations.models import Observation, ProposedName, QueueEntry
from predictions.models import Prediction

RANKS = ("contradicted", "out of scope", "undecided", "other")
"""Why a find is worth a look, the most urgent first."""
RANK_WORDS = {
    "contradicted": gettext_lazy("contradicted"),
    "out of scope": gettext_lazy("no known species"),
    "undecided": gettext_lazy("undecided"),
    "other": gettext_lazy("other"),
}
"""What people read for each of RANKS."""


def waiting_entries(now: datetime) -> QuerySet[QueueEntry]:
    """Return the entries that could be given to somebody now, the most urgent first.

    Each has its `rank`, an index of RANKS. Of one rank the oldest find comes first.
    """
    return ranked(QueueEntry.objects.filter(IS_UNDECIDED, is_free(now)))


def waiting_counts(now: datetime) -> dict[str, int]:
    """Return how many of the waiting entries have each rank, the most urgent first."""
    return _counts(waiting_entries(now))


def _counts(*queries: QuerySet[QueueEntry]) -> dict[str, int]:
    """Return how many ranked entries of all queries have each rank, the most urgent first."""
    counts = Counter[int]()
    for entries in queries:
        counts.update(dict(entries.order_by().values_list("rank").annotate(Count("pk"))))  # type: ignore[misc]
    return {name: counts[rank] for rank, name in enumerate(RANKS)}


IS_UNDECIDED = Q(
    is_to_read=False,
    observation__source=Observation.Source.QUEUE,  # always so, and then an index has them
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


def entries_in_hand(user: User, now: datetime) -> QuerySet[QueueEntry]:
    """Return the entries that the user holds and may look at, in the order in which they are shown.

    Each has its `rank`. What comes into the queue later comes after them, however urgent it is: the
    find that somebody looks at must be the same after a reload or on another machine. Besides
    `held_entries` they are those that have changed at the site, or are read there again, while the
    user looks at them: what was told of them before stays in view until the lease ends.
    """
    held = QueueEntry.objects.filter(
        leased_to=user,
        leased_until__gt=now,
        observation__source=Observation.Source.QUEUE,
        observation__decision=Observation.Decision.NONE,
        observation__answer__isnull=False,
    )
    return ranked(held).order_by("leased_until", "pk")


def waiting_for(user: User, now: datetime) -> dict[str, int]:
    """Return how many finds of each rank wait for this user, the most urgent rank first.

    Those that the user holds are among them; those that the user skipped are not.
    """
    free = waiting_entries(now).exclude(skipped_by=user)
    return _counts(free, entries_in_hand(user, now))


def finds_shown_to(user: User) -> QuerySet[Observation]:
    """Return the finds of the queue that the user was the last to get, or has decided.

    For an administrator, too: what another verifier holds is not to be decided by mistake.
    """
    decided = Q(source=Observation.Source.QUEUE, user=user) & ~Q(decision="")
    return Observation.objects.filter(decided | Q(pk__in=given_to(user).values("pk")))


def last_decided(user: User) -> Observation | None:
    """Return the find of the queue that the user decided last; None if there is none.

    One that has changed at the site since is left out: another observation has its place.
    """
    decided = Observation.objects.filter(
        source=Observation.Source.QUEUE,
        user=user,
        queue_entry__isnull=False,
        decided_at__isnull=False,
    )
    return decided.order_by("-decided_at", "-pk").first()


def decided_since(user: User, since: datetime) -> int:
    """Return how many finds of the queue the user has decided since then."""
    mine = Observation.objects.filter(source=Observation.Source.QUEUE, user=user)
    return mine.filter(decided_at__gte=since).count()


def given_to(user: User) -> QuerySet[Observation]:
    """Return the undecided observations that the user was the last to get from the queue.

    They stay so after the lease until somebody else gets them, so that no work is lost.
    """
    return Observation.objects.filter(
        source=Observation.Source.QUEUE,
        decision=Observation.Decision.NONE,
        queue_entry__leased_to=user,
        queue_entry__leased_until__isnull=False,  # always so, and never where they are decided
    ).order_by()


def is_shown_to(user: User) -> Q:
    """Return which predictions are photos of a find that the queue gave to the user, or theirs."""
    given = given_to(user).filter(pk=OuterRef("observation_photo__observation"))
    decided = Q(
        observation_photo__observation__source=Observation.Source.QUEUE,
        observation_photo__observation__user=user,
    )
    return decided | Q(Exists(given))


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
