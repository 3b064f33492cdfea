"""Chooses the photos of a training and of an evaluation."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from django.db.models import Count, F, Q, QuerySet

from mlmodels.evaluation import HeldOutPhotos
from mlmodels.ml.dataset import Dataset, LabelledPhoto, group_photos, split_by_group
from mlmodels.ml.preprocessing import NEAR_DUPLICATE_BITS
from mlmodels.models import Species
from predictions.models import Photo
from predictions.selectors import SAME_OBSERVATION_IDS

RECENT_PHOTOS = 1000
"""How many of the most recent training photos a training takes."""
VALIDATION_SHARE = 0.2
LEAST_PHOTOS = 10
"""Photos of a species, at the least: fewer cannot be split into training and validation."""


class TooFewPhotos(Exception):  # noqa: N818 - a state of affairs
    """Which species lack photos, and how many."""


def training_dataset(
    *, limit: int, seed: int, is_seen: Callable[[str], bool] = lambda _: False
) -> Dataset:
    """Return the `limit` most recent training photos, a fifth of them for validation, by group.

    A species that the most recent ones lack, or nearly so, is topped up with its own most recent
    photos. `is_seen` tells by a photo's SHA-256 whether the version to go on from was trained on
    it: where there are others enough, validation is made of those alone; else of any, and
    `Dataset.validation_is_new` is False.
    Raises TooFewPhotos where a species has fewer than LEAST_PHOTOS in all.
    """
    labels = species_names()
    check_enough_photos()
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
    seen_groups = {
        group for photo, group in zip(chosen, groups, strict=True) if is_seen(photo.sha256)
    }
    new = [i for i, group in enumerate(groups) if group not in seen_groups]
    counts = Counter(indices[i] for i in new)
    are_enough = all(counts[label] >= LEAST_PHOTOS for label in range(len(labels)))
    candidates = new if are_enough else range(len(chosen))
    _, held = split_by_group(
        [indices[i] for i in candidates],
        [groups[i] for i in candidates],
        seed=seed,
        share=min(0.5, VALIDATION_SHARE * len(chosen) / len(candidates)),
    )
    validation = {candidates[i] for i in held}
    photos = [
        _labelled(photo, index, group)
        for photo, index, group in zip(chosen, indices, groups, strict=True)
    ]
    return Dataset(
        labels=labels,
        training=tuple(photo for i, photo in enumerate(photos) if i not in validation),
        validation=tuple(photo for i, photo in enumerate(photos) if i in validation),
        validation_is_new=are_enough,
    )


def _photos(split: str) -> QuerySet:
    """Return a split's photos, each with its label's name as `species`."""
    return Photo.objects.filter(split=split).annotate(species=F("label__name"))


def species_names() -> tuple[str, ...]:
    """Return the labels of a training, in the order of the network's outputs."""
    return tuple(Species.objects.values_list("name", flat=True))


def check_enough_photos() -> None:
    """Raise TooFewPhotos unless there are LEAST_PHOTOS training photos of every species."""
    in_training = Count("photo", filter=Q(photo__split=Photo.Split.TRAINING))
    counts = Species.objects.annotate(n=in_training).order_by("name").values_list("name", "n")
    missing = [f"{name} ({n})" for name, n in counts if n < LEAST_PHOTOS]
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


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the hash that names a dataset: over its manifest's canonical JSON."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


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
    return HeldOutPhotos(
        sha256=_set_sha256([(photo.sha256, labels[photo.label]) for photo, _ in rows]),
        photos=tuple(photo for photo, _ in rows),
        is_near_training=tuple(near for _, near in rows),
    )


def evaluation_set_sha256(labels: Sequence[str]) -> tuple[str, int] | None:
    """Return the hash that names `evaluation_set(labels)`, and how many photos it has.

    With one query, and none of the comparisons that tell which are near training photos.
    """
    photos = _photos(Photo.Split.EVALUATION).filter(species__in=labels).order_by("sha256")
    named = list(photos.values_list("sha256", "species"))
    return (_set_sha256(named), len(named)) if named else None


def _set_sha256(named: Sequence[tuple[str, str]]) -> str:
    """Return the hash over photos, by their SHA-256, and the names of their species."""
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()
