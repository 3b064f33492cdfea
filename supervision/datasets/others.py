"""Chooses the photos of other species that a training gets, and groups them by genus."""

from collections.abc import Sequence
from functools import partial

from django.conf import settings
from django.db.models import Case, CharField, F, Func, QuerySet, Value, When, Window
from django.db.models.functions import RowNumber

from mlmodels.ml.dataset import OtherPhoto
from predictions.labels import REVIEWED
from predictions.models import Photo
from predictions.stored_photos import photo_bytes
from supervision.datasets.finds import photo_groups

_FIRST_WORD = Func(
    F("other_name"), Value(" "), Value(1), function="split_part", output_field=CharField()
)


def other_photos(split: str) -> QuerySet:
    """Return the photos of other species in a split, each with its `genus` ("" if unknown)."""
    return Photo.objects.filter(split=split, is_other=True).annotate(genus=_FIRST_WORD)


def training_others() -> tuple[OtherPhoto, ...]:
    """Return the training photos of `chosen_others`, by SHA-256, without reading their files."""
    chosen = sorted(chosen_others(), key=lambda photo: photo.sha256)
    return as_others(chosen, [photo.other_name for photo in chosen])


def chosen_others() -> QuerySet:
    """Return the photos of other species that a training takes now: CHAMPIPY_OTHER_PHOTOS at most.

    Each genus gives one photo, then each a second one, and so on; a photo of an unknown genus
    counts as a genus of its own. Those that an administrator named come first, then the most
    recent.
    """
    own_genus = Case(When(genus="", then=F("sha256")), default=F("genus"))
    reviewed_first = Case(When(label_source__in=REVIEWED, then=Value(0)), default=Value(1))
    order = (reviewed_first, F("split_at").desc(), F("pk").desc())
    turn = Window(RowNumber(), partition_by=own_genus, order_by=order)
    photos = other_photos(Photo.Split.TRAINING).exclude(file="").annotate(turn=turn)
    return photos.order_by("turn", *order)[: max(0, settings.CHAMPIPY_OTHER_PHOTOS)]


def chosen_others_count() -> int:
    """Return the number of `chosen_others`."""
    photos = Photo.objects.filter(split=Photo.Split.TRAINING, is_other=True).exclude(file="")
    return photos.order_by()[: max(0, settings.CHAMPIPY_OTHER_PHOTOS)].count()


def other_groups(photos: Sequence[Photo], names: Sequence[str]) -> list[str]:
    """Return each photo's group: the genus of its name or, without one, its find.

    A photo without a name that shows the same find as one with a name is in the group of that one.
    """
    finds = photo_groups(photos)
    genera = [name.partition(" ")[0] for name in names]
    named = {find: genus for find, genus in zip(finds, genera, strict=True) if genus}
    first: dict[str, str] = {}
    for find, photo in zip(finds, photos, strict=True):
        first.setdefault(find, f"find of {photo.sha256[:12]}")
    return [
        genus or named.get(find) or first[find] for find, genus in zip(finds, genera, strict=True)
    ]


def as_others(photos: Sequence[Photo], names: Sequence[str]) -> tuple[OtherPhoto, ...]:
    """Return stored photos of other species, with these names, as trainings and engines take them.

    Their files are read only when needed.
    """
    return tuple(
        OtherPhoto(
            sha256=photo.sha256,
            group=group,
            read=partial(photo_bytes, str(photo.file), photo.sha256),
            name=name,
        )
        for photo, group, name in zip(photos, other_groups(photos, names), names, strict=True)
    )
