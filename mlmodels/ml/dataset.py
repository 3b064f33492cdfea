"""The labelled photos of a training, split into training and validation by group.

Photos of one find are nearly copies. With one of them in training and another in validation, the
validation would measure memorisation. So whole groups are assigned, never single photos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mlmodels.ml.preprocessing import NEAR_DUPLICATE_BITS

RECENT_PHOTOS = 1000
"""Number of training photos that a training uses, the most recent ones."""
MAX_COMPARED = 64
"""Hashes that are compared with all others of their bucket at once; more take more memory."""


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo with its label."""

    sha256: str
    label: int
    """Index of its species in `Dataset.labels`."""
    group: str
    """Photos of the same find have the same group."""
    read: Callable[[], bytes]
    """Return the photo's bytes. They are read on demand to avoid holding a thousand in memory."""


@dataclass(frozen=True)
class OtherPhoto:
    """A photo of none of the species in `Dataset.labels`."""

    sha256: str
    group: str
    """The genus; if nobody knows it, the photo's own find."""
    read: Callable[[], bytes]
    """Return the photo's bytes, as `LabelledPhoto.read` does."""
    name: str = ""
    """As somebody gave it; empty if nobody knows it."""


@dataclass(frozen=True)
class Dataset:
    """The photos of one training.

    Raises `ValueError` unless there are two or more different labels, each of them with photos in
    training and in validation, and no group or photo is in both, nor a photo among the others.
    """

    labels: tuple[str, ...]
    """Species, in the order of the indices."""
    training: tuple[LabelledPhoto, ...]
    validation: tuple[LabelledPhoto, ...]
    validation_is_new: bool = True
    """False if the network to continue from was trained on validation photos. Then they can neither
    choose the best epoch nor calibrate the scores."""
    others: tuple[OtherPhoto, ...] = ()
    """Photos of other species: they teach a version what is none of its labels."""

    @property
    def photos(self) -> tuple[LabelledPhoto, ...]:
        """All labelled photos: first those for training, then those for validation."""
        return (*self.training, *self.validation)

    def __post_init__(self) -> None:
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ValueError("A dataset needs two or more labels, all different.")
        for name, photos in (("training", self.training), ("validation", self.validation)):
            present = {photo.label for photo in photos}
            missing = [text for i, text in enumerate(self.labels) if i not in present]
            if missing:
                raise ValueError(f"The {name} photos have none of: {', '.join(missing)}.")
            if not present <= set(range(len(self.labels))):
                raise ValueError(f"A {name} photo has a label index that is out of range.")
        shared = {p.group for p in self.training} & {p.group for p in self.validation}
        if shared:
            raise ValueError(
                f"{len(shared)} groups have photos in training and in validation, "
                f"for example {min(shared)!r}."
            )
        if {p.sha256 for p in self.training} & {p.sha256 for p in self.validation}:
            raise ValueError("The same photo is in training and in validation.")
        if {p.sha256 for p in self.photos} & {p.sha256 for p in self.others}:
            raise ValueError("The same photo has a label and is among the others.")


def group_photos(
    labels: Sequence[int],
    observation_ids: Sequence[int | None],
    perceptual_hashes: Sequence[int | None],
    *,
    id_distance: int = 3,
    hash_distance: int = NEAR_DUPLICATE_BITS,
) -> list[str]:
    """Return the group of each photo ("0", "1", …); photos of a group probably show the same find.

    Two photos are in one group when they have the same label and Mushroom Observer ids at most
    `id_distance` apart, or, whatever their labels, 64-bit perceptual hashes that differ in at most
    `hash_distance` bits. The relation is transitive. None stands for an unknown id or hash.
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
    for (label, observation, index), (next_label, next_observation, next_index) in pairwise(known):
        if label == next_label and next_observation - observation <= id_distance:
            parent[root(next_index)] = root(index)

    same_hash: dict[int, list[int]] = {}
    for index, value in enumerate(perceptual_hashes):
        if value is not None:
            same_hash.setdefault(value, []).append(index)
    values = list(same_hash)  # in the order of their first photos
    near: dict[int, list[int]] = {position: [position] for position in range(len(values))}
    for first, second in near_hashes(np.array(values, dtype=np.uint64), hash_distance):
        near[first].append(second)
    for position, positions in near.items():
        index = same_hash[values[position]][0]
        for other in sorted(photo for each in positions for photo in same_hash[values[each]]):
            parent[root(other)] = root(index)

    return [str(root(index)) for index in range(len(labels))]


def near_hashes(values: np.ndarray, max_distance: int) -> Iterator[tuple[int, int]]:
    """Yield each pair of positions (the lower one first) whose hashes differ in few bits.

    `values` is uint64 [n], all different; few is at most `max_distance`. The bits are cut into
    `max_distance` + 1 bands. Two near hashes differ in fewer bits than there are bands, so at least
    one band is the same in both: only hashes that share a band are compared.
    """
    bounds = np.linspace(0, 64, max_distance + 2).round().astype(int).tolist()
    pairs: set[tuple[int, int]] = set()
    for low, high in pairwise(bounds):
        bands = (values >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(bands, kind="stable")
        ends = np.flatnonzero(np.diff(bands[order])) + 1
        for bucket in np.split(order, ends):
            for start in range(0, len(bucket), MAX_COMPARED):
                rows = bucket[start : start + MAX_COMPARED]
                distances = np.bitwise_count(values[rows][:, None] ^ values[bucket[start:]])
                first, second = np.nonzero(distances <= max_distance)
                is_pair = first < second
                found = (rows[first[is_pair]], bucket[start:][second[is_pair]])
                pairs.update(zip(*(side.tolist() for side in found), strict=True))
    yield from sorted(pairs)


def split_by_group(
    labels: Sequence[int], groups: Sequence[str], *, seed: int, share: float = 0.2
) -> tuple[list[int], list[int]]:
    """Return the indices of the training and of the validation photos, with no group in both.

    Validation gets about `share` of the photos, with the labels in about the same proportions
    (`sklearn.model_selection.StratifiedGroupKFold`, the first of 1/`share` folds, shuffled with
    `seed`). A label with fewer groups than folds may be missing from validation. Raises
    `ValueError` when every label has fewer photos than folds, or there are fewer groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(n_splits=round(1 / share), shuffle=True, random_state=seed)
    training, validation = next(folds.split(np.zeros(len(labels)), labels, groups))
    return training.tolist(), validation.tolist()
