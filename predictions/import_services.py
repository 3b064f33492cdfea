"""Imports labelled photos into a split."""

import hashlib
from dataclasses import asdict, dataclass
from enum import StrEnum

from django.db import connection, transaction
from django.utils import timezone

from mlmodels.ml.preprocessing import decode_photo, perceptual_hash
from predictions.labels import LABEL_FIELDS, Label, OtherSpecies, label_set
from predictions.licences import Attribution
from predictions.models import Photo
from predictions.photo_services import photo_lock, photo_store, signed_64
from predictions.selectors import is_genus_in_split, photos_contradicting, photos_resembling

_GENERA_LOCK = 0x67656E6572  # "gener" in ASCII; any number that no other advisory lock has


class ImportOutcome(StrEnum):
    """The result of importing a photo."""

    NEW = "imported"
    KNOWN = "already there"
    OTHER_SPLIT = "is in the other split"
    OTHER_LABEL = "has another label"
    OTHER_SPLIT_HAS_GENUS = "is of a genus in the other split"
    RESEMBLES_OTHER_SPLIT = "resembles a photo of the other split"
    RESEMBLES_OTHER_LABEL = "resembles a photo with another label"
    EXCLUDED = "was excluded in review"
    RESERVED = "may not be trained on: all rights are reserved"


@dataclass(frozen=True)
class ImportResult:
    """The outcome of an import, and the photos that speak against it."""

    outcome: ImportOutcome
    resembles: tuple[Photo, ...] = ()
    """At most five, each with `distance`: in how many bits the perceptual hashes differ."""


def photo_import(
    *,
    data: bytes,
    label: Label,
    split: str,
    origin: str,
    mushroom_observer_id: int | None,
    allow_resembling: bool = False,
    attribution: Attribution | None = None,
    source: str = Photo.LabelSource.IMPORTED,
) -> ImportResult:
    """Import a labelled photo into a split, unless it was imported before; return the outcome.

    A photo is never in both splits, nor are photos of other species of one genus. A photo that
    resembles one of the other split, or shows the same observation, is refused unless
    `allow_resembling`; so is one of other species that looks like one of a species, and the
    reverse. A review is never overwritten, not even one that is made meanwhile. A photo that was
    imported before gets the `attribution` that is given. `source` says who gave the label; an
    imported one replaces one that Mushroom Observer's community settled. Raises PhotoError if the
    photo can't be decoded.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    photo = Photo.objects.filter(sha256=sha256).first()
    if (outcome := _reason_to_refuse(photo, label, split, source)) is not None:
        if outcome == ImportOutcome.KNOWN and photo is not None and attribution is not None:
            Photo.objects.filter(pk=photo.pk).update(**asdict(attribution))
        return ImportResult(outcome)
    image = decode_photo(data)
    image_hash = signed_64(perceptual_hash(image))
    resembling = photos_resembling(
        perceptual_hash=image_hash,
        mushroom_observer_id=mushroom_observer_id,
        label=label,
        split=_other_split(split),
    )
    if resembling and not allow_resembling:
        return ImportResult(ImportOutcome.RESEMBLES_OTHER_SPLIT, tuple(resembling))
    contradicting = [
        other
        for other in photos_contradicting(perceptual_hash=image_hash, label=label)
        if other.sha256 != sha256  # itself, named by a model alone: it is about to get this label
    ]
    if contradicting and not allow_resembling:
        return ImportResult(ImportOutcome.RESEMBLES_OTHER_LABEL, tuple(contradicting))
    with transaction.atomic():
        genera_lock()
        photo_lock(sha256)  # its bytes are not deleted between the next two steps
        photo = Photo.objects.select_for_update().filter(sha256=sha256).first()
        if (outcome := _reason_to_refuse(photo, label, split, source)) is not None:
            return ImportResult(outcome)
        photo = photo_store(
            data=data,
            image=image,
            origin=origin,
            mushroom_observer_id=mushroom_observer_id,
        )
        label_set(photo, label)
        photo.label_source = source
        photo.split, photo.split_at = split, timezone.now()
        fields = [*LABEL_FIELDS, "label_source", "split", "split_at"]
        for name, value in asdict(attribution).items() if attribution is not None else ():
            setattr(photo, name, value)
            fields.append(name)
        photo.save(update_fields=fields)
    return ImportResult(ImportOutcome.NEW, (*resembling, *contradicting))


def genera_lock() -> None:
    """Keep others from putting photos of other species into a split until the transaction ends.

    Take it before the lock of a photo or of its row.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_GENERA_LOCK])


def is_genus_elsewhere(label: Label, split: str) -> bool:
    """Return whether a label is another species whose genus the split opposite to `split` has.

    A network that has seen a genus as other species is not measured by that genus.
    """
    if not isinstance(label, OtherSpecies) or not label.genus:
        return False
    return is_genus_in_split(label.genus, _other_split(split))


def _other_split(split: str) -> str:
    is_evaluation = split == Photo.Split.EVALUATION
    return Photo.Split.TRAINING if is_evaluation else Photo.Split.EVALUATION


def _reason_to_refuse(
    photo: Photo | None, label: Label, split: str, source: str
) -> ImportOutcome | None:
    """Return why `photo` (None: it is not stored yet) is not imported into `split`, or None."""
    if photo is not None and photo.excluded:
        return ImportOutcome.EXCLUDED
    if photo is not None and photo.is_reserved and split == Photo.Split.TRAINING:
        return ImportOutcome.RESERVED
    if photo is not None and photo.split not in ("", split):
        return ImportOutcome.OTHER_SPLIT
    replaced = {"", Photo.LabelSource.PREDICTED, Photo.LabelSource.SETTLED} - {source}
    if photo is not None and photo.label_source not in replaced:
        is_same_kind = photo.is_other == isinstance(label, OtherSpecies)
        return ImportOutcome.KNOWN if is_same_kind else ImportOutcome.OTHER_LABEL
    return ImportOutcome.OTHER_SPLIT_HAS_GENUS if is_genus_elsewhere(label, split) else None
