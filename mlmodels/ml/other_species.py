"""Photos of other species in a training: copies in the sizes of the labelled photos.

A network tells sources of photos apart by their sizes sooner than species (`sizes`). So the others
are shown in the sizes of the labelled photos and, where they are too small for that, the labelled
photos once more in theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlmodels.ml.features import AnyPhoto, FeatureCache
from mlmodels.ml.sizes import ResizedPhoto, are_alike, longer_sides, two_sizes
from mlmodels.ml.training_session import TrainingSession, TrainingSetup


@dataclass(frozen=True)
class OtherCopies:
    """Copies of photos of other species whose features are in the cache."""

    copies: tuple[tuple[tuple[AnyPhoto, int], ...], ...]
    """Each photo with its view, in the same order in each copy."""
    groups: tuple[str, ...]
    """The genus of each photo in lower case, or another name for its group."""
    labelled: tuple[ResizedPhoto, ...]
    """The labelled photos in the others' sizes; empty where these are alike."""

    def outputs(self, session: TrainingSession, setup: TrainingSetup) -> dict[str, np.ndarray]:
        """Return `TrainingSession.outputs` of the copies, each float32 [copies, m, …]."""
        pairs = [pair for copy in self.copies for pair in copy]
        return {
            name: flat.reshape(len(self.copies), len(self.groups), -1)
            for name, flat in session.outputs(setup, pairs).items()
        }

    def with_labelled(
        self, session: TrainingSession, setup: TrainingSetup, embeddings: np.ndarray
    ) -> np.ndarray:
        """Return `embeddings` [views, n, d] of the labelled photos with that of `labelled`."""
        if not self.labelled:
            return embeddings
        return np.concatenate([embeddings, session.embeddings(setup, self.labelled, views=1)])


def extract_others(
    session: TrainingSession, cache: FeatureCache, views: Sequence[int]
) -> OtherCopies | None:
    """Compute the features of the dataset's photos of other species in two sizes and `views` each.

    Where time or disk space do not suffice, there are fewer copies or, of a single copy, fewer
    photos. Return None if there are none, or if the labelled photos are missing in their sizes:
    the head would learn that a photo of some size is none of the labels.
    """
    dataset = session.dataset
    if not dataset.others:
        return None
    sides, own_sides = longer_sides(dataset.photos), longer_sides(dataset.others)
    sizes = two_sizes(dataset.others, sides)
    reached = np.array(
        [
            min(copy.side, int(side))
            for of_size in sizes
            for copy, side in zip(of_size, own_sides, strict=True)
        ]
    )
    labelled: tuple[ResizedPhoto, ...] = ()
    if not are_alike(sides, reached):
        labelled = tuple(two_sizes(dataset.photos, reached)[0])
        if session.extract_copies(cache, [(copy, 0) for copy in labelled]) < len(labelled):
            return None
    copies = [tuple((copy, view) for copy in of_size) for view in views for of_size in sizes]
    done = session.extract_copies(cache, [pair for copy in copies for pair in copy])
    n = min(done, len(dataset.others))
    if not n:
        return None
    return OtherCopies(
        # The photos are in the order of their SHA-256, so that the first ones are a fair sample.
        copies=tuple(copy[:n] for copy in copies[: done // n]),
        # In lower case, as those that come along: a genus must be one group, whoever brought it.
        groups=tuple(photo.group.lower() for photo in dataset.others[:n]),
        labelled=labelled,
    )
