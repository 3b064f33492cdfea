"""Labels photos as the community of Mushroom Observer has settled them."""

from enum import StrEnum

from django.db import transaction
from django.utils import timezone

from predictions.import_services import genera_lock, is_genus_elsewhere
from predictions.labels import LABEL_FIELDS, REVIEWED, Label, label_of, label_set
from predictions.models import Photo
from predictions.selectors import evaluation_photos_like


class SettledOutcome(StrEnum):
    """What became of a settled name."""

    LABELLED = "labelled"
    SAME = "labelled so before"
    CONTRADICTED = "imported with another label"
    LEFT = "reviewed, excluded, reserved, or in evaluation"


def photo_label_settled(*, photo_id: int, label: Label, follows: bool) -> SettledOutcome:
    """Give a photo the label that the community has settled; return what became of it.

    The label counts as imported. The photo becomes a training photo, unless its bytes are gone or
    it resembles an evaluation photo, shows the same find or, of other species, the same genus: then
    it belongs to no split. A review, an excluded or reserved photo and an evaluation photo stay. So
    does a photo that was imported with another label, unless `follows`: that label was settled
    before.
    """
    with transaction.atomic():
        genera_lock()
        photo = Photo.objects.select_for_update().get(pk=photo_id)
        is_reviewed = photo.label_source in REVIEWED or photo.reviewed_at is not None
        is_barred = photo.excluded or photo.is_reserved
        if is_reviewed or is_barred or photo.split == Photo.Split.EVALUATION:
            return SettledOutcome.LEFT
        if photo.label_source == Photo.LabelSource.IMPORTED:
            if label_of(photo) == label:
                return SettledOutcome.SAME
            if not follows:
                return SettledOutcome.CONTRADICTED
        label_set(photo, label)
        photo.label_source = Photo.LabelSource.IMPORTED
        is_near = is_genus_elsewhere(label, Photo.Split.TRAINING) or evaluation_photos_like(
            photo, label
        )
        if not photo.file or is_near:
            photo.split, photo.split_at = Photo.Split.NONE, None
        elif not photo.split:
            photo.split, photo.split_at = Photo.Split.TRAINING, timezone.now()
        photo.save(update_fields=[*LABEL_FIELDS, "label_source", "split", "split_at"])
    return SettledOutcome.LABELLED
