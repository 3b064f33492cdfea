"""Writes on photos of Mushroom Observer: whose they are, and what its community says they show."""

from dataclasses import asdict
from enum import StrEnum

from django.db import transaction
from django.utils import timezone

from predictions.import_services import genera_lock, is_genus_elsewhere
from predictions.labels import LABEL_FIELDS, REVIEWED, Label, label_of, label_set
from predictions.licences import Attribution
from predictions.models import Photo
from predictions.selectors import evaluation_photos_like, photos_resembling


class CommunityOutcome(StrEnum):
    """What became of what the community says of a photo."""

    LABELLED = "labelled"
    SAME = "labelled so before"
    WITHDRAWN = "no longer settled, label withdrawn"
    CONTRADICTED = "imported with another label"
    LEFT = "reviewed, excluded, reserved, or in evaluation"
    NOTHING = "not settled"


def photo_attribute(*, photo: Photo, attribution: Attribution, is_reserved: bool) -> None:
    """Keep whose a photo is, and whether all rights are reserved; change `photo`, too.

    A reserved photo leaves the training photos. Call it in a transaction.
    """
    stored = {**asdict(attribution), "is_reserved": is_reserved}
    if all(getattr(photo, name) == value for name, value in stored.items()):
        return
    if is_reserved and photo.split == Photo.Split.TRAINING:
        stored |= {"split": Photo.Split.NONE, "split_at": None}
    for name, value in stored.items():
        setattr(photo, name, value)
    photo.save(update_fields=[*stored])


def photo_label_by_community(*, photo: Photo, label: Label | None) -> CommunityOutcome:
    """Give a photo the label that the community settled; return what became of it.

    None says that nothing is settled: a label that came from there is withdrawn, as it is from a
    reserved photo. A label that an administrator gave or imported, an exclusion, and an evaluation
    photo stay as they are. The photo becomes a training photo unless it has no bytes, resembles an
    evaluation photo or shows the same find or genus, or looks the same as another training photo.
    Observations that are read and dumps both come here.
    """
    with transaction.atomic():
        genera_lock()
        photo = Photo.objects.select_for_update(of=("self",)).get(pk=photo.pk)
        is_settled = photo.label_source == Photo.LabelSource.SETTLED
        if photo.is_reserved and is_settled:
            label = None
        if (outcome := _reason_to_leave(photo, label)) is not None:
            return outcome
        if is_settled and label == label_of(photo):
            return CommunityOutcome.SAME
        if label is None and not is_settled:
            return CommunityOutcome.NOTHING
        label_set(photo, label)
        photo.label_source = Photo.LabelSource.SETTLED if label else Photo.LabelSource.NONE
        if label is None or not _may_be_trained_on(photo, label):
            photo.split, photo.split_at = Photo.Split.NONE, None
        elif not photo.split:
            photo.split, photo.split_at = Photo.Split.TRAINING, timezone.now()
        photo.contributed_by = None
        photo.save(
            update_fields=[*LABEL_FIELDS, "label_source", "split", "split_at", "contributed_by"]
        )
    return CommunityOutcome.LABELLED if label else CommunityOutcome.WITHDRAWN


def _reason_to_leave(photo: Photo, label: Label | None) -> CommunityOutcome | None:
    """Return the outcome for a photo that the community may not label, or None if it may."""
    is_reviewed = photo.label_source in REVIEWED or photo.reviewed_at is not None
    is_barred = photo.excluded or (photo.is_reserved and label is not None)
    if is_reviewed or is_barred or photo.split == Photo.Split.EVALUATION:
        return CommunityOutcome.LEFT
    if photo.label_source != Photo.LabelSource.IMPORTED:
        return None
    if label is None:
        return CommunityOutcome.LEFT
    is_same = label_of(photo) == label
    return CommunityOutcome.SAME if is_same else CommunityOutcome.CONTRADICTED


def _may_be_trained_on(photo: Photo, label: Label) -> bool:
    if not photo.file:
        return False
    if is_genus_elsewhere(label, Photo.Split.TRAINING) or evaluation_photos_like(photo, label):
        return False
    alike = photos_resembling(
        perceptual_hash=photo.perceptual_hash,
        mushroom_observer_id=None,
        label=label,
        split=Photo.Split.TRAINING,
    )
    return not [other for other in alike if other.pk != photo.pk]
