"""Records an administrator's review of a photo: the species that it shows, or its exclusion.

A repeated call changes nothing. None of them changes a frozen evaluation set.
"""

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from mlmodels.models import Species
from predictions.labels import REVIEWED
from predictions.models import Inference, Photo
from predictions.selectors import evaluation_photos_like


def photo_label(*, photo: Photo, species: Species, by: User) -> Photo:
    """Record the species that an administrator says a photo shows; return the updated photo.

    The label counts as confirmed if it is the species believed so far (the photo's label, else the
    newest answer of a model), and as corrected otherwise. The photo becomes a training photo,
    whatever it scored and even if it was excluded, unless it resembles an evaluation photo or shows
    the same find: then it belongs to no split. An evaluation photo stays one.
    """
    with transaction.atomic():
        photo = Photo.objects.select_for_update().get(pk=photo.pk)
        before = (photo.label_id, photo.label_source, photo.split, photo.excluded)
        is_believed = species.name == believed_species(photo)
        if not is_believed or photo.label_source not in REVIEWED:
            source = Photo.LabelSource.CONFIRMED if is_believed else Photo.LabelSource.CORRECTED
            photo.label_source = source
        is_new_label = photo.label_id != species.pk
        photo.label, photo.excluded = species, False
        if photo.split != Photo.Split.EVALUATION and (is_new_label or not photo.split):
            _choose_split(photo, species)
        if before != (photo.label_id, photo.label_source, photo.split, photo.excluded):
            _save_review(photo, by)
    return photo


def photo_exclude(*, photo: Photo, by: User) -> Photo:
    """Keep a photo out of training, or an evaluation photo out of the next frozen set.

    The exclusion lasts until `photo_label` is called. An evaluation photo stays in its split: it
    never becomes a training photo. Returns the updated photo.
    """
    with transaction.atomic():
        photo = Photo.objects.select_for_update().get(pk=photo.pk)
        if not photo.excluded:
            photo.excluded = True
            if photo.split == Photo.Split.TRAINING:
                photo.split, photo.split_at = Photo.Split.NONE, None
            _save_review(photo, by)
    return photo


def believed_species(photo: Photo) -> str | None:
    """Return the name of a photo's label, else the newest answer of a model, else None."""
    if photo.label is not None:
        return photo.label.name
    newest = Inference.objects.filter(photo=photo).order_by("-id")
    return newest.values_list("best_species", flat=True).first()


def _choose_split(photo: Photo, label: Species) -> None:
    """Put a photo into training, unless its bytes are gone or it is near an evaluation photo.

    Near means that it resembles one, or shows the same find.
    """
    if not photo.file or evaluation_photos_like(photo, label):
        photo.split, photo.split_at = Photo.Split.NONE, None
    elif not photo.split:
        photo.split, photo.split_at = Photo.Split.TRAINING, timezone.now()


def _save_review(photo: Photo, by: User) -> None:
    photo.reviewed_by, photo.reviewed_at = by, timezone.now()
    photo.save(
        update_fields=[
            *("label", "label_source", "split", "split_at", "excluded"),
            *("reviewed_by", "reviewed_at"),
        ]
    )
