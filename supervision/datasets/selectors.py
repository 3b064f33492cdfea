"""Chooses the photos of a training and of an evaluation."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from django.db.models import Case, Count, F, Q, QuerySet, Value, When

from mlmodels.evaluation import HeldOutPhotos
from mlmodels.ml.dataset import Dataset, LabelledPhoto, group_photos, split_by_group
from mlmodels.ml.preprocessing import NEAR_DUPLICATE_BITS
from mlmodels.models import Species
from predictions.models import Photo
from predictions.selectors import SAME_OBSERVATION_IDS
from supervision.models import EvaluationSet

RECENT_PHOTOS = 1000
"""How many of the most recent training photos a training takes."""
VALIDATION_SHARE = 0.2
REVIEWED = (Photo.LabelSource.CONFIRMED, Photo.LabelSource.CORRECTED)
MIN_PHOTOS = 10
"""Photos of a species, at the least: fewer cannot be split into training and validation."""


class TooFewPhotos(Exception):  # noqa: N818 - a state of affairs
    """Which species lack photos, and how many."""


def training_dataset(
    *, limit: int, seed: int, is_seen: Callable[[str], bool] = lambda _: False
) -> Dataset:
    """Return the `limit` most recent training photos, a fifth of them for validation, by group.

    Those that an administrator confirmed or corrected come before all others, the most recent
    first; the others, imported or only predicted, fill what is left, the most recent first.
    A species that the most recent ones lack, or nearly so, is topped up with its own most recent
    photos. `is_seen` tells by a photo's SHA-256 whether the version to go on from was trained on
    it: where there are others enough, validation is made of those alone; else of any, and
    `Dataset.validation_is_new` is False.
    Raises TooFewPhotos where a species has fewer than MIN_PHOTOS in all.
    """
    labels = species_names()
    check_enough_photos()
    reviewed_first = Case(When(label_source__in=REVIEWED, then=Value(0)), default=Value(1))
    recent = _photos(Photo.Split.TRAINING).order_by(reviewed_first, "-split_at", "-pk")
    chosen = list(recent[:limit])
    for name in labels:
        missing = MIN_PHOTOS - sum(photo.species == name for photo in chosen)
        if missing > 0:
            known = {photo.pk for photo in chosen}
            chosen += recent.filter(species=name).exclude(pk__in=known)[:missing]
    chosen.sort(key=lambda photo: photo.sha256)
    groups = photo_groups(chosen)
    indices = [labels.index(photo.species) for photo in chosen]
    seen_groups = {
        group for photo, group in zip(chosen, groups, strict=True) if is_seen(photo.sha256)
    }
    new = [i for i, group in enumerate(groups) if group not in seen_groups]
    counts = Counter(indices[i] for i in new)
    are_enough = all(counts[label] >= MIN_PHOTOS for label in range(len(labels)))
    candidates = new if are_enough else range(len(chosen))
    _, held = split_by_group(
        [indices[i] for i in candidates],
        [groups[i] for i in candidates],
        seed=seed,
        share=min(0.5, VALIDATION_SHARE * len(chosen) / len(candidates)),
    )
    validation = {candidates[i] for i in held}
    photos = [
        labelled_photo(photo, index, group)
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
    """Raise TooFewPhotos unless there are MIN_PHOTOS training photos of every species."""
    in_training = Count("photo", filter=Q(photo__split=Photo.Split.TRAINING))
    counts = Species.objects.annotate(n=in_training).order_by("name").values_list("name", "n")
    missing = [f"{name} ({n})" for name, n in counts if n < MIN_PHOTOS]
    if missing:
        raise TooFewPhotos(
            f"A training needs at least {MIN_PHOTOS} training photos of every species. "
            f"Too few are there of: {', '.join(missing)}. Import some with import_photos."
        )


def photo_groups(photos: Sequence[Photo]) -> list[str]:
    """Return each photo's group: which of them probably show the same find."""
    return group_photos(
        [photo.label_id or 0 for photo in photos],
        [photo.mushroom_observer_id for photo in photos],
        [photo.perceptual_hash % (1 << 64) for photo in photos],
        id_distance=SAME_OBSERVATION_IDS,
        hash_distance=NEAR_DUPLICATE_BITS,
    )


def labelled_photo(photo: Photo, label: int, group: str) -> LabelledPhoto:
    """Return a stored photo as a training or an engine takes it."""
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


def current_evaluation_set() -> EvaluationSet | None:
    """Return the newest version of the frozen set; None where no evaluation photos came yet."""
    return EvaluationSet.objects.order_by("-version").first()


def evaluation_set(labels: Sequence[str]) -> HeldOutPhotos | None:
    """Return the current evaluation set's photos of `labels`, by their index there; None: no photo.

    Labels are those that were frozen, whatever review says by now. Those near the training photos
    are marked: the same find in both makes a model look better than it is.
    Raises LookupError where a photo of the set is no longer stored.
    """
    named = _frozen_photos(labels)
    stored = {
        photo.sha256: photo
        for photo in Photo.objects.filter(sha256__in=[sha256 for sha256, _ in named])
    }
    if lost := [sha256 for sha256, _ in named if sha256 not in stored]:
        raise LookupError(
            f"{len(lost)} photos of the evaluation set are no longer stored, for example "
            f"{lost[0][:12]}. Restore them from a backup, or freeze a new version without them."
        )
    if not named:
        return None
    photos = [stored[sha256] for sha256, _ in named]
    training = list(_photos(Photo.Split.TRAINING).order_by("sha256"))
    groups = photo_groups([*photos, *training])
    of_training = set(groups[len(photos) :])
    return HeldOutPhotos(
        sha256=set_sha256(named),
        photos=tuple(
            labelled_photo(photo, labels.index(species), group)
            for photo, (_, species), group in zip(photos, named, groups, strict=False)
        ),
        is_near_training=tuple(group in of_training for group in groups[: len(photos)]),
    )


def evaluation_set_sha256(labels: Sequence[str]) -> tuple[str, int] | None:
    """Return the hash that names `evaluation_set(labels)`, and how many photos it has.

    With one query, and none of the comparisons that tell which are near training photos.
    """
    named = _frozen_photos(labels)
    return (set_sha256(named), len(named)) if named else None


def _frozen_photos(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Return SHA-256 and species of the current set's photos of these species."""
    frozen = current_evaluation_set()
    manifest = frozen.manifest if frozen else []
    return [(sha256, species) for sha256, species in manifest if species in labels]


def set_sha256(named: Sequence[tuple[str, str]]) -> str:
    """Return the hash over photos, by their SHA-256, and the names of their species."""
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()
