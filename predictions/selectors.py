"""Reads on photos and predictions."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.db.models.expressions import RawSQL
from django.utils import timezone

from accounts.models import User
from common.prepared import Prepared
from mlmodels.ml.preprocessing import NEAR_DUPLICATE_BITS
from mlmodels.models import ModelVersion
from mlmodels.selectors import serving_versions
from predictions.labels import Label, OtherSpecies
from predictions.models import (
    HashBands,
    Inference,
    Photo,
    PhotoSource,
    Prediction,
    like_bands,
)
from predictions.photo_urls import canonical_photo_key

SAME_OBSERVATION_IDS = 3
"""Mushroom Observer images of one species whose ids differ by at most this nearly always show the
same find."""

WAITS_FOR_ITS_TURN = Q(status=Prediction.Status.PENDING, next_send_at__isnull=True)
"""Predictions that were not sent yet: the next worker holds enough others of their users."""


_shown_as_well: list[Callable[[User], Q]] = []


def peoples_predictions() -> QuerySet[Prediction]:
    """Return the predictions that people asked for, not ChampiPy by itself."""
    return Prediction.objects.filter(is_background=False)


def served_inferences() -> QuerySet[Inference]:
    """Return what versions said that answer people, or did: not that of shadows in Staging."""
    return Inference.objects.filter(model_version__in=serving_versions())


def is_scoring_awaited() -> bool:
    """Return whether a prediction waits to be scored."""
    pending = Prediction.objects.filter(status=Prediction.Status.PENDING)
    return pending.exclude(sha256="").exists()


def asked_last(users: Sequence[User]) -> dict[int, datetime]:
    """Return when these users last asked for a prediction, by the users' ids."""
    # A range that only this user is in: the index of users' predictions alone has that order. With
    # an equal sign the whole table may be read backwards to find one who has never asked.
    own = Prediction.objects.filter(user__gte=OuterRef("pk"), user__lte=OuterRef("pk"))
    newest = own.filter(is_background=False).order_by("user_id", "-id")
    times = User.objects.filter(pk__in=[user.pk for user in users]).values_list(
        "pk", Subquery(newest.values("created_at")[:1])
    )
    return {pk: at for pk, at in times if at is not None}


def predictions_visible_to(user: User) -> QuerySet[Prediction]:
    """Return the user's own predictions, or everybody's for an administrator, newest first."""
    predictions = answered_predictions().order_by("-id")
    return predictions if user.is_admin else predictions.filter(user=user)


def show_as_well(condition: Callable[[User], Q]) -> None:
    """Register whose predictions a user may look at besides. Apps above call it as they load.

    `condition` returns for a user which.
    """
    _shown_as_well.append(condition)


def predictions_shown_to(user: User) -> QuerySet[Prediction]:
    """Return the predictions whose photo and explanation a user may look at.

    They are `predictions_visible_to`, and those of the finds that the user has been given to check.
    """
    if user.is_admin:
        return predictions_visible_to(user)
    shown = Q(user=user)
    for condition in _shown_as_well:
        shown |= condition(user)
    return answered_predictions().filter(shown)


def answered_predictions() -> QuerySet[Prediction]:
    """Return predictions with inference and version; the version's long fields are deferred."""
    version = "inference__model_version"
    return Prediction.objects.select_related(version).defer(
        f"{version}__card", f"{version}__metrics", f"{version}__files"
    )


def photo_with_bytes(sha256: str) -> Photo | None:
    """Return the photo whose bytes, or whose bytes as they were sent, have this SHA-256."""
    return Photo.objects.filter(pk__in=_photo_ids(sha256)).order_by().first()


def stored_file_names(names: Collection[str]) -> set[str]:
    """Return those of these files' names that a photo has.

    They are looked for by the SHA-256 that each name of a photo's file begins with: `file` has no
    index.
    """
    sha256s = {PurePosixPath(name).name[:64] for name in names}
    stored = Photo.objects.filter(sha256__in=sha256s, file__in=names)
    return set(stored.values_list("file", flat=True))


def _photo_ids(sha256: str) -> QuerySet:
    photos = Photo.objects.filter(sha256=sha256).order_by().values("pk")
    return photos.union(PhotoSource.objects.filter(key=sha256).values("photo"), all=True)


_stored_inference = Prepared(
    lambda sha256, version: Inference.objects.filter(
        photo__in=_photo_ids(sha256), model_version=version
    ).order_by()[:1],
    sha256=str,
    version=int,
)


def stored_inference(*, sha256: str, version: ModelVersion) -> Inference | None:
    """Return this version's stored inference of `photo_with_bytes(sha256)`, or None."""
    if not sha256:
        return None
    inference = _stored_inference.first(sha256=sha256, version=version.pk)
    if inference is not None:
        inference.model_version = version  # already loaded; saves reading its long card
    return inference


_stored_inferences = Prepared(
    lambda sha256s, version: (
        Inference.objects.filter(model_version=version, photo__sha256__any_of=sha256s)
        .annotate(sha256=F("photo__sha256"))
        .order_by()
    ),
    sha256s=list,
    version=int,
)


def stored_inferences(*, sha256s: Sequence[str], version: ModelVersion) -> dict[str, Inference]:
    """Return this version's stored inferences of photos, by the SHA-256 of the photos' bytes."""
    found: dict[str, Any] = {}
    rows: list[Any] = _stored_inferences.all(sha256s=[*sha256s], version=version.pk)
    for inference in rows:
        inference.model_version = version
        found[inference.sha256] = inference
    return found


def source_key(url: str) -> str:
    """Return the key under which a fetched URL is remembered (PhotoSource.key)."""
    return hashlib.sha256(canonical_photo_key(url).encode()).hexdigest()


def remembered_sha256(url: str) -> str | None:
    """Return the SHA-256 of the bytes that this URL returned, or None if it must be fetched.

    An answer counts for CHAMPIPY_URL_FRESH_MINUTES; that of a Mushroom Observer image never
    expires.
    """
    fresh_since = timezone.now() - timedelta(minutes=settings.CHAMPIPY_URL_FRESH_MINUTES)
    source = (
        PhotoSource.objects.filter(
            Q(is_permanent=True) | Q(fetched_at__gte=fresh_since), key=source_key(url)
        )
        .values_list("sha256", "photo__sha256")
        .first()
    )
    return source and (source[0] or source[1])


def evaluation_photos_like(photo: Photo, label: Label) -> list[Photo]:
    """Return the evaluation photos that `photo` resembles too closely to be trained on as `label`.

    See `photos_resembling`.
    """
    return photos_resembling(
        perceptual_hash=photo.perceptual_hash,
        mushroom_observer_id=photo.mushroom_observer_id,
        label=label,
        split=Photo.Split.EVALUATION,
    )


def photos_resembling(
    *,
    perceptual_hash: int,
    mushroom_observer_id: int | None,
    label: Label,
    split: str,
) -> list[Photo]:
    """Return the photos of a split that look the same or show the same observation.

    Looks the same: the 64-bit perceptual hashes differ in at most NEAR_DUPLICATE_BITS bits.
    Same observation: the same species (of other species: the same name, or one that nobody knows),
    and Mushroom Observer ids within SAME_OBSERVATION_IDS. At most five are returned, the most
    similar first, each with its label and `distance` in bits.
    """
    resembles = _is_near(perceptual_hash)
    if mushroom_observer_id is not None:
        resembles |= _same_label(label) & Q(
            mushroom_observer_id__range=(
                mushroom_observer_id - SAME_OBSERVATION_IDS,
                mushroom_observer_id + SAME_OBSERVATION_IDS,
            ),
        )
    return _most_similar(Photo.objects.filter(split=split), perceptual_hash, resembles)


def photos_contradicting(*, perceptual_hash: int, label: Label) -> list[Photo]:
    """Return the photos of both splits that look the same, but of which the other is said.

    That is, photos of other species if `label` is a species, else photos of a species. They are
    returned as by `photos_resembling`.
    """
    photos = Photo.objects.filter(split__in=(Photo.Split.TRAINING, Photo.Split.EVALUATION))
    contradicting = photos.filter(is_other=not isinstance(label, OtherSpecies))
    return _most_similar(contradicting, perceptual_hash, _is_near(perceptual_hash))


def _is_near(perceptual_hash: int) -> Q:
    # An index knows the few hashes that have something in common; others differ in more bits.
    return Q(bands__overlap=like_bands(perceptual_hash), distance__lte=NEAR_DUPLICATE_BITS)


def _same_label(label: Label) -> Q:
    if not isinstance(label, OtherSpecies):
        return Q(label=label)
    return Q(is_other=True, other_name__in=("", label.name)) if label.name else Q(is_other=True)


def _most_similar(photos: QuerySet[Photo], perceptual_hash: int, which: Q) -> list[Photo]:
    distance = RawSQL("bit_count((perceptual_hash # %s)::bit(64))", [perceptual_hash])
    # `bands` has an index of photos with a split: those of both kinds have one.
    found = photos.exclude(split="").alias(bands=HashBands("perceptual_hash"))
    found = found.annotate(distance=distance).filter(which)
    return list(found.select_related("label").order_by("distance", "pk")[:5])


def is_genus_in_split(genus: str, split: str) -> bool:
    """Return whether photos of other species of this genus are in a split."""
    of_genus = Q(other_name=genus) | Q(other_name__startswith=f"{genus} ")
    return Photo.objects.filter(of_genus, is_other=True, split=split).exists()
