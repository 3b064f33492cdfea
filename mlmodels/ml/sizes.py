"""Copies of photos in the sizes of other photos, saved anew as JPEG.

Photos of other species often come from another source than those of the labels. A network tells
sources apart by resolution and compression sooner than species, so both kinds are given the same
mixture of sizes before it learns from them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mlmodels.ml.features import AnyPhoto
from mlmodels.ml.preprocessing import decode_photo, longer_side

QUALITY = 75
"""JPEG quality of the copies, that of Mushroom Observer's thumbnails."""
MAX_DISTANCE = 0.2
"""Largest Kolmogorov-Smirnov distance between two mixtures of sizes that count as alike."""


@dataclass(frozen=True)
class ResizedPhoto:
    """A copy of a photo whose longer side has at most `side` pixels."""

    photo: AnyPhoto
    side: int

    @property
    def sha256(self) -> str:
        """Return what identifies the copy among cached features: not the hash of its bytes."""
        return hashlib.sha256(f"{self.photo.sha256}:{self.side}:{QUALITY}".encode()).hexdigest()

    @property
    def read(self) -> Callable[[], bytes]:
        """Return the function that returns the copy's bytes, a JPEG.

        It raises `preprocessing.PhotoError` when the photo can't be decoded.
        """
        return self._jpeg

    def _jpeg(self) -> bytes:
        image = decode_photo(self.photo.read())
        factor = self.side / max(image.size)
        if factor < 1:
            size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
            image = image.resize(size, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=QUALITY)
        return buffer.getvalue()


def longer_sides(photos: Sequence[AnyPhoto]) -> np.ndarray:
    """Return the longer side of each photo, in pixels, integers [n].

    Only the headers are read. Raises `preprocessing.PhotoError` for one that is not a photo's.
    """
    return np.array([longer_side(photo.read()) for photo in photos], int)


def two_sizes(
    photos: Sequence[AnyPhoto], sides: np.ndarray
) -> tuple[list[ResizedPhoto], list[ResizedPhoto]]:
    """Return two copies of each photo, both lists in sizes that are distributed as `sides` [m] are.

    A photo's sizes follow from its SHA-256. The second is half of the distribution away from the
    first, so most photos occur in a small and in a large size. Photos smaller than their size keep
    their own.
    """
    first: list[ResizedPhoto] = []
    second: list[ResizedPhoto] = []
    for photo in photos:
        place = int(hashlib.sha256(photo.sha256.encode()).hexdigest()[:8], 16) / 2**32
        for copies, quantile in ((first, place), (second, (place + 0.5) % 1)):
            side = np.quantile(sides, quantile, method="inverted_cdf")
            copies.append(ResizedPhoto(photo, int(side)))
    return first, second


def are_alike(sides: np.ndarray, other_sides: np.ndarray) -> bool:
    """Return whether two mixtures of sizes, [n] and [m], are nearly the same."""
    points = np.union1d(sides, other_sides)
    shares = [
        np.searchsorted(np.sort(mixture), points, side="right") / len(mixture)
        for mixture in (sides, other_sides)
    ]
    return bool(np.abs(shares[0] - shares[1]).max() <= MAX_DISTANCE)
