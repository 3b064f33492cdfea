"""Chooses the photos of a training and of an evaluation."""

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from django.db.models import Count, F, Q, QuerySet

from mlmodels.evaluation import HeldOutPhotos
from mlmodels.ml.dataset import Dataset, LabelledPhoto, group_photos, split_by_group
from mlmodels.ml.preprocessing import NEAR_DUPLICATE_BITS
from mlmodels.models import Species
from predictions.models import Photo
from predictions.selectors import SAME_OBSERVATION_IDS

RECENT_PHOTOS = 1000
"""How many of the most recent training photos a training takes."""
LEAST_PHOTOS = 10
"""Photos of a species, at the least: fewer cannot be split into training and validation."""


class TooFewPhotos(Exception):  # noqa: N818 - a state of affairs
    """Which species lack photos, and how many."""


def training_dataset(*, limit: int, seed: int) -> Dataset:
    """Return the `limit` most recent training photos, a fifth of them for validation, by group.

    A species that the most recent ones lack, or nearly so, is topped up with its own most recent
    photos. Raises TooFewPhotos where a species has fewer than LEAST_PHOTOS in all.
    """
    labels = tuple(Species.objects.values_list("name", flat=True))
    _check_enough(labels)
    recent = _photos(Photo.Split.TRAINING).order_by("-split_at", "-pk")
    chosen = list(recent[:limit])
    for name in labels:
        missing = LEAST_PHOTOS - sum(photo.species == name for photo in chosen)
        if missing > 0:
            known = {photo.pk for photo in chosen}
            chosen += recent.filter(species=name).exclude(pk__in=known)[:missing]
    chosen.sort(key=lambda photo: photo.sha256)
    groups = _groups(chosen)
    indices = [labels.index(photo.species) for photo in chosen]
    training, validation = split_by_group(indices, groups, seed=seed)
    photos = [
        _labelled(photo, index, group)
        for photo, index, group in zip(chosen, indices, groups, strict=True)
    ]
    return Dataset(
        labels=labels,
        training=tuple(photos[i] for i in training),
        validation=tuple(photos[i] for i in validation),
    )


def _photos(split: str) -> QuerySet:
    """Return a split's photos, each with its label's name as `species`."""
    return Photo.objects.filter(split=split).annotate(species=F("label__name"))


def _check_enough(labels: Sequence[str]) -> None:
    in_training = Count("photo", filter=Q(photo__split=Photo.Split.TRAINING))
    counts = dict(Species.objects.annotate(n=in_training).values_list("name", "n"))
    missing = [f"{name} ({counts[name]})" for name in labels if counts[name] < LEAST_PHOTOS]
    if missing:
        raise TooFewPhotos(
            f"A training needs at least {LEAST_PHOTOS} training photos of every species. "
            f"Too few are there of: {', '.join(missing)}. Import some with import_photos."
        )


def _groups(photos: Sequence[Photo]) -> list[str]:
    return group_photos(
        [photo.label_id or 0 for photo in photos],
        [photo.mushroom_observer_id for photo in photos],
        [photo.perceptual_hash % (1 << 64) for photo in photos],
        id_distance=SAME_OBSERVATION_IDS,
        hash_distance=NEAR_DUPLICATE_BITS,
    )


def _labelled(photo: Photo, label: int, group: str) -> LabelledPhoto:
    return LabelledPhoto(
        sha256=photo.sha256,
        label=label,
        group=group,
        read=partial(Path.read_bytes, Path(photo.file.path)),
    )


def dataset_manifest(dataset: Dataset) -> dict:
    """Return which photo has which label in which split, from which anyone can rebuild it."""
    return {
        "labels": list(dataset.labels),
        "training": [[photo.sha256, photo.label] for photo in dataset.training],
        "validation": [[photo.sha256, photo.label] for photo in dataset.validation],
    }


def evaluation_set(labels: Sequence[str]) -> HeldOutPhotos | None:
    """Return the evaluation photos, labelled by their index in `labels`; None where there are none.

    Those near the training photos are marked: the same find in both makes a model look better than
    it is.
    """
    photos = list(_photos(Photo.Split.EVALUATION).filter(species__in=labels).order_by("sha256"))
    training = list(_photos(Photo.Split.TRAINING).order_by("sha256"))
    groups = _groups([*photos, *training])
    of_training = set(groups[len(photos) :])
    rows = [
        (_labelled(photo, labels.index(photo.species), group), group in of_training)
        for photo, group in zip(photos, groups, strict=False)
    ]
    if not rows:
        return None
    named = [[photo.sha256, labels[photo.label]] for photo, _ in rows]
    return HeldOutPhotos(
        sha256=hashlib.sha256(json.dumps(named).encode()).hexdigest(),
        photos=tuple(photo for photo, _ in rows),
        is_near_training=tuple(near for _, near in rows),
    )
