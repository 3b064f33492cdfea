"""What an administrator says of a photo: which species it shows, or that it is of no use.

Each may run twice and changes nothing then. The frozen evaluation set is never changed by them.
"""

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from mlmodels.models import Species
from predictions.models import Inference, Photo
from predictions.selectors import evaluation_photos_like
from supervision.datasets.selectors import REVIEWED


def photo_label(*, photo: Photo, species: Species, by: User) -> Photo:
    """Record which species a photo shows, as an administrator says; return the photo as it is then.

    It was confirmed where that is what was believed of it (its label, else the newest answer of a
    model), and corrected otherwise. It becomes a training photo, whatever it scored and also if it
    had been excluded, unless it resembles an evaluation photo or shows the same find: then it
    belongs to no split. An evaluation photo stays one.
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
            _write(photo, by)
    return photo


def photo_exclude(*, photo: Photo, by: User) -> Photo:
    """Keep a photo out of training for good, and an evaluation photo out of the next frozen set.

    An evaluation photo stays on its side: it never becomes a training photo. `photo_label` takes it
    back. Returns the photo as it is then.
    """
    with transaction.atomic():
        photo = Photo.objects.select_for_update().get(pk=photo.pk)
        if not photo.excluded:
            photo.excluded = True
            if photo.split == Photo.Split.TRAINING:
                photo.split, photo.split_at = Photo.Split.NONE, None
            _write(photo, by)
    return photo


def believed_species(photo: Photo) -> str | None:
    """Return the name of a photo's label, else of the newest answer of a model, else None."""
    if photo.label is not None:
        return photo.label.name
    newest = Inference.objects.filter(photo=photo).select_related("model_version").first()
    return newest.best(1)[0][0] if newest else None


def _choose_split(photo: Photo, label: Species) -> None:
    """Bring a photo with its new label into training, unless it is too near to evaluation."""
    if evaluation_photos_like(photo, label):
        photo.split, photo.split_at = Photo.Split.NONE, None
    elif not photo.split:
        photo.split, photo.split_at = Photo.Split.TRAINING, timezone.now()


def _write(photo: Photo, by: User) -> None:
    photo.reviewed_by, photo.reviewed_at = by, timezone.now()
    photo.save(
        update_fields=[
            *("label", "label_source", "split", "split_at", "excluded"),
            *("reviewed_by", "reviewed_at"),
        ]
    )
