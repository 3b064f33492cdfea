"""Reads on observations."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet, Subquery

from accounts.models import User
from accounts.people import counts_of_each
from mlmodels.names import parse_name
from mlmodels.species_selectors import species_with_key
from observations.models import Observation, ObservationPhoto, ProposedName
from observations.queue.selectors import given_to
from predictions.models import Prediction
from predictions.selectors import answered_predictions


def observations_visible_to(user: User, *, with_pictures: bool = False) -> QuerySet[Observation]:
    """Return the user's own observations, or everybody's for an administrator, newest first.

    Of the queue's, those that were given to the user are among them. `with_pictures`: as
    `told_observations` has it.
    """
    observations = told_observations(with_pictures=with_pictures).order_by("-id")
    if user.is_admin:
        return observations
    given = list(given_to(user).values_list("pk", flat=True))  # as a list, an index finds them
    return observations.filter(Q(user=user) | Q(pk__in=given))


def observations_asked_by(user: User, *, with_pictures: bool = False) -> QuerySet[Observation]:
    """Return the observations that a user asked about, or decided in the queue, newest first.

    `with_pictures`: as `told_observations` has it.
    """
    return told_observations(with_pictures=with_pictures).filter(user=user).order_by("-id")


def predictions_alone(user: User) -> QuerySet[Prediction]:
    """Return what a user asked that belongs to no observation, newest first.

    The API makes such predictions; pages make observations.
    """
    of_observations = ObservationPhoto.objects.filter(prediction=OuterRef("pk"))
    alone = answered_predictions().filter(~Exists(of_observations), user=user)
    return alone.filter(is_background=False).order_by("-id")


def told_observations(*, with_pictures: bool = False) -> QuerySet[Observation]:
    """Return observations with all that an answer tells: `predictions` of photos, and names.

    `with_pictures` loads the stored photos as well, as pages need them that show pictures.
    """
    answered = answered_predictions().order_by()
    if with_pictures:
        answered = answered.select_related("inference__photo")
    predictions = Prefetch("prediction", answered)
    photos = ObservationPhoto.objects.order_by("id").prefetch_related(predictions)
    return Observation.objects.prefetch_related(Prefetch("photos", photos), "names")


def predictions_of(observation: Observation) -> list[Prediction]:
    """Return the predictions of an observation's photos in their order."""
    of_it = answered_predictions().filter(observation_photo__observation=observation)
    return list(of_it.order_by("observation_photo__pk"))


def answered_observations() -> QuerySet[Observation]:
    """Return the pending observations of which no photo is pending any more.

    Those that are still to be read at Mushroom Observer are left out.
    """
    photos = ObservationPhoto.objects.filter(observation=OuterRef("pk"))
    pending = photos.filter(prediction__status=Prediction.Status.PENDING)
    observations = Observation.objects.filter(
        ~Exists(pending), status=Observation.Status.PENDING, next_read_at=None
    )
    return observations.order_by("pk")


def named(observations: QuerySet[Observation], **conditions: str) -> QuerySet[Observation]:
    """Return those of `observations` with a proposed name that meets all conditions."""
    names = ProposedName.objects.filter(observation=OuterRef("pk"), **conditions)
    return observations.filter(Exists(names))


def likely_name(observation: Observation) -> ProposedName | None:
    """Return the proposed name that people most likely mean: the consensus, or the likeliest."""

    def preference(name: ProposedName) -> tuple[bool, float]:
        return name.is_consensus, -3.0 if name.confidence is None else name.confidence

    return max(observation.names.all(), key=preference, default=None)


def best_known_species(observation: Observation) -> str:
    """Return the best species of an answered observation; "" if it is none that the model knows."""
    answer = observation.answer or {"predictions": [], "scope": None}
    is_known = answer["scope"] is None or answer["scope"]["in_scope"]
    return answer["predictions"][0]["species"] if is_known and answer["predictions"] else ""


def species_and_key(name: str) -> tuple[str, str]:
    """Return the species of a name, or "" if none is known, and the key to compare names by.

    `name` is one that `parse_name` can read. Synonyms of a known species have the same key.
    """
    parsed = parse_name(name)
    species = species_with_key(parsed.species) if parsed.species else None
    if species is not None:
        return species.name, species.name.lower()
    return "", parsed.species or parsed.text.lower()


def decisions_of(users: Sequence[User]) -> dict[int, int | str]:
    """Return how many observations each of these users has decided, as `counts_of_each` has it."""
    # A range that only this user is in: the index of users' decisions alone has that order.
    own = Observation.objects.filter(user__gte=OuterRef("pk"), user__lte=OuterRef("pk"))
    decided = own.filter(decided_at__isnull=False).order_by("user_id", "-decided_at", "-id")
    return counts_of_each(users, decided)


def decided_last(users: Sequence[User]) -> dict[int, datetime]:
    """Return when each of these users last decided, by the users' ids."""
    decided = Observation.objects.filter(user=OuterRef("pk"), decided_at__isnull=False)
    newest = decided.order_by("-decided_at", "-id").values("decided_at")
    times = User.objects.filter(pk__in=[user.pk for user in users]).values_list(
        "pk", Subquery(newest[:1])
    )
    return {pk: at for pk, at in times if at is not None}


def old_observations(now: datetime) -> QuerySet[Observation]:
    """Return the observations older than CHAMPIPY_KEEP_PREDICTIONS_DAYS, as old predictions are."""
    days = settings.CHAMPIPY_KEEP_PREDICTIONS_DAYS
    if days <= 0:
        return Observation.objects.none()
    old = Observation.objects.filter(created_at__lt=now - timedelta(days=days))
    return (
        old.exclude(status=Observation.Status.PENDING)
        .exclude(read_at__gte=now - timedelta(days=days))
        .order_by("created_at")
    )
