"""Chooses the photos that versions are trained and evaluated on."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef, QuerySet

from common.messages import Message
from common.paging import capped_count
from mlmodels.evaluation import HeldOutOthers, HeldOutPhotos
from mlmodels.ml.dataset import Dataset, LabelledPhoto, split_by_group
from mlmodels.ml.reference import learnt_groups
from mlmodels.models import Species
from predictions.models import REVIEWED_FIRST, Photo
from predictions.stored_photos import photo_bytes
from supervision.datasets.finds import photo_groups
from supervision.datasets.others import as_others, other_groups, other_photos, training_others
from supervision.models import EvaluationSet

VALIDATION_SHARE = 0.2
MIN_PHOTOS = 10
"""Photos of each species that a training needs: fewer cannot be split for validation."""


class TooFewPhotos(Exception):  # noqa: N818 - a condition to report, not a fault
    """Some species have too few photos; the message says which, or how many are needed."""


def training_dataset(
    *, limit: int, seed: int, is_seen: Callable[[str], bool] = lambda _: False
) -> Dataset:
    """Return `limit` training photos, a fifth of them for validation.

    Which photos these are: `chosen_photos`.
    Photos of one find (a group) are either all in training or all in validation.
    `is_seen(sha256)` returns whether the parent version was trained on a photo. Validation uses
    only finds without such photos if every species has MIN_PHOTOS of them; otherwise it uses any
    finds, and `Dataset.validation_is_new` is False. Photos of other species come besides
    (`training_others`).
    Raises TooFewPhotos if a species has fewer than MIN_PHOTOS training photos in all.
    """
    labels = species_names()
    check_enough_photos()
    chosen = sorted(chosen_photos(limit=limit), key=lambda photo: photo.sha256)
    groups = photo_groups(chosen)
    indices = [labels.index(photo.species) for photo in chosen]
    seen_groups = {
        group for photo, group in zip(chosen, groups, strict=True) if is_seen(photo.sha256)
    }
    unseen = [i for i, group in enumerate(groups) if group not in seen_groups]
    counts = Counter(indices[i] for i in unseen)
    has_enough_unseen = all(counts[label] >= MIN_PHOTOS for label in range(len(labels)))
    candidates = unseen if has_enough_unseen else range(len(chosen))
    _, held_out = split_by_group(
        [indices[i] for i in candidates],
        [groups[i] for i in candidates],
        seed=seed,
        share=min(0.5, VALIDATION_SHARE * len(chosen) / len(candidates)),
    )
    validation = {candidates[i] for i in held_out}
    photos = [
        labelled_photo(photo, index, group)
        for photo, index, group in zip(chosen, indices, groups, strict=True)
    ]
    return Dataset(
        labels=labels,
        training=tuple(photo for i, photo in enumerate(photos) if i not in validation),
        validation=tuple(photo for i, photo in enumerate(photos) if i in validation),
        validation_is_new=has_enough_unseen,
        others=training_others(),
    )


def chosen_photos(*, limit: int) -> QuerySet:
    """Return the `limit` photos that a training takes now, each with its label as `species`.

    Every species gets an equal share of them (100 of 1,000 for ten species), at least MIN_PHOTOS.
    What species with fewer photos leave is filled up with the other photos of all species. In both
    steps the photos that an administrator confirmed or corrected come first, then those that were
    imported or only predicted; in both cases the most recent first.
    """
    n_species = max(1, Species.objects.count())
    share = max(MIN_PHOTOS, limit // n_species)
    order = (REVIEWED_FIRST, F("split_at").desc(), F("pk").desc())
    photos = Photo.objects.filter(split=Photo.Split.TRAINING, is_other=False).order_by(*order)
    shares = ArraySubquery(photos.filter(label=OuterRef("pk")).values("pk")[:share])
    chosen = [pk for pks in Species.objects.values_list(shares, flat=True) for pk in pks]
    # A limit too low for MIN_PHOTOS of each species gives way to them.
    others = photos.exclude(pk__in=chosen).values_list("pk", flat=True)
    rest = list(others[: max(limit, share * n_species) - len(chosen)])
    return _photos(Photo.Split.TRAINING).filter(pk__in=chosen + rest).order_by(*order)


def _photos(split: str) -> QuerySet:
    """Return the photos of species in a split, each with the name of its label as `species`."""
    return Photo.objects.filter(split=split, is_other=False).annotate(species=F("label__name"))


def species_names() -> tuple[str, ...]:
    """Return the species of a training, in the order of the network's outputs."""
    return tuple(Species.objects.values_list("name", flat=True))


def check_enough_photos() -> None:
    """Raise TooFewPhotos unless there are MIN_PHOTOS training photos of every species."""
    photos = Photo.objects.filter(split=Photo.Split.TRAINING, is_other=False)
    first = ArraySubquery(photos.filter(label=OuterRef("pk")).order_by().values("pk")[:MIN_PHOTOS])
    found = Species.objects.order_by("name").values_list("name", first)
    missing = [f"{name} ({len(pks)})" for name, pks in found if len(pks) < MIN_PHOTOS]
    if missing:
        raise TooFewPhotos(
            Message(
                "A training needs at least %(minimum)d training photos of every species. These "
                "have fewer: %(species)s. Import more with import_photos.",
                minimum=MIN_PHOTOS,
                species=", ".join(missing),
            )
        )


def labelled_photo(photo: Photo, label: int, group: str) -> LabelledPhoto:
    """Return a stored photo as trainings and engines take it; its file is read only when needed."""
    return LabelledPhoto(
        sha256=photo.sha256,
        label=label,
        group=group,
        read=partial(photo_bytes, str(photo.file), photo.sha256),
    )


def dataset_manifest(dataset: Dataset) -> dict:
    """Return the SHA-256 and label of the photos in each split: enough to rebuild the dataset.

    Photos of other species are listed as "other", with the name that somebody gave them.
    """
    manifest: dict[str, Any] = {
        "labels": list(dataset.labels),
        "training": [[photo.sha256, photo.label] for photo in dataset.training],
        "validation": [[photo.sha256, photo.label] for photo in dataset.validation],
    }
    if dataset.others:  # without any, it keeps the hash of the time before there were others
        manifest["others"] = [[photo.sha256, "other", photo.name] for photo in dataset.others]
    return manifest


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the hash that identifies a dataset, over the canonical JSON of its manifest."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def current_evaluation_set(
    kind: str = EvaluationSet.Kind.SPECIES,
) -> EvaluationSet | None:
    """Return the newest version of a kind of evaluation set, or None if none was frozen yet."""
    return EvaluationSet.objects.filter(kind=kind).order_by("-version").first()


def evaluation_set(labels: Sequence[str]) -> HeldOutPhotos | None:
    """Return the current evaluation set's photos of the species in `labels`; None if it has none.

    A photo's label is the index of its species in `labels`. It is the label that was frozen,
    whatever review has changed since. `is_near_training` marks photos that resemble a training
    photo or show the same find: they make a model look better than it is.
    Raises LookupError if a photo of the set is no longer stored.
    """
    frozen_photos = _frozen_photos(labels)
    if not frozen_photos:
        return None
    photos = stored_photos([sha256 for sha256, _ in frozen_photos])
    training = list(_photos(Photo.Split.TRAINING).order_by("sha256"))
    groups = photo_groups([*photos, *training])
    training_groups = set(groups[len(photos) :])
    return HeldOutPhotos(
        sha256=set_sha256(frozen_photos),
        photos=tuple(
            labelled_photo(photo, labels.index(species), group)
            for photo, (_, species), group in zip(photos, frozen_photos, groups, strict=False)
        ),
        is_near_training=tuple(group in training_groups for group in groups[: len(photos)]),
        longer_sides=tuple(max(photo.width, photo.height) for photo in photos),
    )


def evaluation_others() -> HeldOutOthers | None:
    """Return the photos of the current evaluation set of other species; None if there is none.

    A photo's name is the one that was frozen, whatever review has changed since. Near training are
    also the genera of which embeddings come with ChampiPy.
    Raises LookupError if a photo of the set is no longer stored.
    """
    frozen = current_evaluation_set(EvaluationSet.Kind.OTHERS)
    if frozen is None:
        return None
    photos = stored_photos([sha256 for sha256, _ in frozen.manifest])
    training = list(other_photos(Photo.Split.TRAINING).order_by("sha256"))
    names = [name for _, name in frozen.manifest] + [photo.other_name for photo in training]
    groups = other_groups([*photos, *training], names)
    others = as_others(photos, names[: len(photos)])
    training_groups, learnt = set(groups[len(photos) :]), learnt_groups()
    return HeldOutOthers(
        sha256=frozen.sha256,
        photos=others,
        is_near_training=tuple(
            group in training_groups or other.group.lower() in learnt
            for group, other in zip(groups[: len(photos)], others, strict=True)
        ),
    )


def stored_photos(frozen: Sequence[str]) -> list[Photo]:
    """Return the photos with these SHA-256, in this order.

    Raises LookupError if one is no longer stored.
    """
    stored = {photo.sha256: photo for photo in Photo.objects.filter(sha256__in=frozen)}
    if missing := [sha256 for sha256 in frozen if sha256 not in stored]:
        raise LookupError(
            Message(
                "%(count)d photos of the evaluation set are no longer stored, for example "
                "%(example)s. Restore them from a backup, or freeze a new version without them.",
                count=len(missing),
                example=missing[0][:12],
            )
        )
    return [stored[sha256] for sha256 in frozen]


def evaluation_set_sha256(labels: Sequence[str]) -> tuple[str, int] | None:
    """Return the hash and the number of photos of `evaluation_set(labels)`, or None if it is None.

    Takes one query, and skips the comparison with the training photos.
    """
    frozen_photos = _frozen_photos(labels)
    return (set_sha256(frozen_photos), len(frozen_photos)) if frozen_photos else None


def _frozen_photos(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Return (SHA-256, species) of the current set's photos of these species."""
    frozen = current_evaluation_set()
    manifest = frozen.manifest if frozen else []
    return [(sha256, species) for sha256, species in manifest if species in labels]


def set_sha256(labelled: Sequence[tuple[str, str]]) -> str:
    """Return the hash that identifies a set, over (SHA-256, species) of its photos."""
    return hashlib.sha256(json.dumps(labelled).encode()).hexdigest()


def labelled_counts() -> dict[str, int]:
    """Return how many photos of species and of others each split has, without excluded ones.

    The keys are `training`, `evaluation`, `training_others` and `evaluation_others`. Counting each
    stops at MAX_COUNTED.
    """
    photos = Photo.objects.filter(excluded=False)
    return {
        f"{split}{'_others' if is_other else ''}": capped_count(
            photos.filter(split=split, is_other=is_other)
        )
        for split in (Photo.Split.TRAINING, Photo.Split.EVALUATION)
        for is_other in (False, True)
    }
