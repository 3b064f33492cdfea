"""Writes on photos of Mushroom Observer: whose they are, and what its community says they show."""

from dataclasses import asdict

from django.db import transaction
from django.utils import timezone

from predictions.import_services import genera_lock, is_genus_elsewhere
from predictions.labels import LABEL_FIELDS, Label, label_of, label_set
from predictions.licences import Attribution
from predictions.models import Photo
from predictions.selectors import evaluation_photos_like, photos_resembling

_OWN_SOURCES = ("", Photo.LabelSource.PREDICTED, Photo.LabelSource.SETTLED)
"""Sources of labels that a settled name may replace: nobody here gave them."""


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


def photo_label_by_community(*, photo: Photo, label: Label | None) -> bool:
    """Give a photo the label that the community of Mushroom Observer settled; return whether.

    None says that nothing is settled, or the photo is reserved: a label that came from there is
    withdrawn. A label that an administrator gave or imported, an exclusion, and an evaluation photo
    stay as they are. The photo becomes a training photo unless it has no bytes, resembles an
    evaluation photo or shows the same find or genus, or looks the same as another training photo.
    """
    with transaction.atomic():
        genera_lock()
        photo = Photo.objects.select_for_update(of=("self",)).get(pk=photo.pk)
        is_settled = photo.label_source == Photo.LabelSource.SETTLED
        if (
            photo.label_source not in _OWN_SOURCES
            or photo.excluded
            or photo.reviewed_at is not None
            or photo.split == Photo.Split.EVALUATION
            or (label is None and not is_settled)
            or (is_settled and label == label_of(photo))
        ):
            return False
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
    return True


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
