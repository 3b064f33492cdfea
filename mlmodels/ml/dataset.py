"""What a training is given: photos with labels, split by group.

Photos of one find are near copies: with one of them in training and another in validation, the
validation measures memory. So photos are split by group, never one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mlmodels.ml.preprocessing import NEAR_DUPLICATE_BITS


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo with its species, as an index into `Dataset.labels`."""

    sha256: str
    label: int
    group: str
    """Photos that show the same find have the same group."""
    read: Callable[[], bytes]
    """Gives the photo's bytes when they are needed, so that a thousand need not be held."""


@dataclass(frozen=True)
class Dataset:
    """The photos of one training. `labels` are the species, in the order of the indices."""

    labels: tuple[str, ...]
    training: tuple[LabelledPhoto, ...]
    validation: tuple[LabelledPhoto, ...]
    validation_is_new: bool = True
    """False where the network to go on from was trained on validation photos: they say nothing
    then, neither which epoch is best nor how sure it may be."""

    @property
    def photos(self) -> tuple[LabelledPhoto, ...]:
        """All of them: those for training first."""
        return (*self.training, *self.validation)

    def __post_init__(self) -> None:
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ValueError("A dataset needs two or more labels, each of them once.")
        for name, photos in (("training", self.training), ("validation", self.validation)):
            present = {photo.label for photo in photos}
            missing = [text for i, text in enumerate(self.labels) if i not in present]
            if missing:
                raise ValueError(f"The {name} photos have none of: {', '.join(missing)}.")
            if not present <= set(range(len(self.labels))):
                raise ValueError(f"A {name} photo has a label index that is not in the labels.")
        shared = {p.group for p in self.training} & {p.group for p in self.validation}
        if shared:
            raise ValueError(
                f"{len(shared)} groups have photos in training and in validation, "
                f"for example {min(shared)!r}."
            )
        if {p.sha256 for p in self.training} & {p.sha256 for p in self.validation}:
            raise ValueError("The same photo is in training and in validation.")


def group_photos(
    labels: Sequence[int],
    observation_ids: Sequence[int | None],
    perceptual_hashes: Sequence[int | None],
    *,
    id_distance: int = 3,
    hash_distance: int = NEAR_DUPLICATE_BITS,
) -> list[str]:
    """The group of each photo ("0", "1", …): which photos probably show the same find.

    Two photos are in one group when they have the same label and Mushroom Observer ids at most
    `id_distance` apart, or, whatever their labels, 64-bit perceptual hashes that differ in at most
    `hash_distance` bits; groups chain. None stands for an id or a hash that isn't known. Compares
    all pairs: meant for thousands of photos, not millions.
    """
    parent = list(range(len(labels)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    known = sorted(
        (label, observation, index)
        for index, (label, observation) in enumerate(zip(labels, observation_ids, strict=True))
        if observation is not None
    )
    for (label, observation, index), (next_label, following, next_index) in pairwise(known):
        if label == next_label and following - observation <= id_distance:
            parent[root(next_index)] = root(index)

    hashed = [index for index, value in enumerate(perceptual_hashes) if value is not None]
    values = np.array([perceptual_hashes[index] for index in hashed], dtype=np.uint64)
    for position, index in enumerate(hashed):
        distances = np.bitwise_count(values[position + 1 :] ^ values[position])
        for offset in np.flatnonzero(distances <= hash_distance):
            parent[root(hashed[position + 1 + int(offset)])] = root(index)

    return [str(root(index)) for index in range(len(labels))]


def split_by_group(
    labels: Sequence[int], groups: Sequence[str], *, seed: int, share: float = 0.2
) -> tuple[list[int], list[int]]:
    """Indices of the training and of the validation photos, with no group on both sides.

    Validation gets about `share` of the photos, and each label about its share of it
    (`sklearn.model_selection.StratifiedGroupKFold`, the first of 1/`share` folds, shuffled with
    `seed`). Raises `ValueError` when a label has fewer groups than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(n_splits=round(1 / share), shuffle=True, random_state=seed)
    training, validation = next(folds.split(np.zeros(len(labels)), labels, groups))
    return training.tolist(), validation.tolist()
