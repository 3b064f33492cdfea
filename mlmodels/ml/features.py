"""Features at the cut, computed once for several views of each photo and cached on disk.

The layers below the first trained one (the *stem*) never change during a training, so their output
is computed once: the maps at the cut, and the part of the embedding that depends on nothing else.
The stem runs as int8 in LiteRT, several times faster than float on a CPU without bfloat16. The
exported engine will compute the trained layers' input in int8, too.

Cache layout, all under one folder: ``stems/<key>.tflite`` and
``features/<key>/<sha256>-<view>.npy``: the maps (float16, or uint8 pixels where nothing is frozen),
then the pooled part (float16), each as an array of its own where there is one. Every file is
written completely or not at all, so an interrupted extraction can be resumed.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from common.files import write_atomically
from mlmodels.ml import augmentation
from mlmodels.ml.backbone import weights_digest
from mlmodels.ml.layers import (
    AVERAGE,
    BLOCK_ENDS,
    CONVOLUTIONS,
    DEFAULT_POOLING,
    Pooling,
    maps_shape,
    projection_name,
)
from mlmodels.ml.pooling import pool
from mlmodels.ml.preprocessing import decode_photo, to_input
from mlmodels.ml.reference import load_projections

STEM_CALIBRATION_PHOTOS = 100
"""Photos from which the stem's quantisation ranges are measured."""
CACHE_BYTES = 6_000_000_000
"""Size to which `prune_cache` reduces the features."""


class AnyPhoto(Protocol):
    """A photo of which features are computed: `dataset.LabelledPhoto` or `dataset.OtherPhoto`."""

    @property
    def sha256(self) -> str:
        """Return what identifies the photo in the cache."""

    @property
    def read(self) -> Callable[[], bytes]:
        """Return the function that returns the photo's bytes."""


Features = dict[str, np.ndarray]
"""The input of `network.build_tail`: "maps" [n, h, w, c] and "pooled" [n, d], each if there is one.
"""


@dataclass(frozen=True)
class FeatureCache:
    """The cached features of one stem at one input size."""

    folder: Path
    stem: Path | None
    """The LiteRT file that computes the features; None at cut 0, where they are the pixels."""
    input_size: int
    """Pixels on each side of the input."""
    cut: int
    """Convolutions of the stem."""
    pooling: Pooling
    """Of the stored features."""
    projections: Mapping[int, np.ndarray] = field(default_factory=dict)
    """Of the second order, float32 [512, d] by block, where the stem has the block."""
    part: Pooling | None = None
    """The pooling of the features that `load` returns, if it is another (`Pooling.has`)."""

    @property
    def has_maps(self) -> bool:
        """Return whether the features have the maps at the cut."""
        return self.cut < len(CONVOLUTIONS)

    def path(self, sha256: str, view: int) -> Path:
        """Return the path of one view of one photo, which need not exist yet."""
        return self.folder / f"{sha256}-{view}.npy"

    def load(self, photos: Sequence[tuple[str, int]]) -> Features:
        """Return the features of (SHA-256, view) pairs, float16 (the maps uint8 at cut 0).

        Raises `FileNotFoundError` for a pair that is not in the cache.
        """
        rows: dict[str, list[np.ndarray]] = {}
        for photo in photos:
            with self.path(*photo).open("rb") as file:
                for name in self._names:
                    rows.setdefault(name, []).append(np.load(file, allow_pickle=False))
        features = {name: np.stack(arrays) for name, arrays in rows.items()}
        if self.part is not None:
            features["pooled"] = features["pooled"][:, self.pooling.columns(self.part)]
        return features

    @property
    def photo_bytes(self) -> int:
        """Return the size of one view of one photo."""
        maps = int(np.prod(maps_shape(self.cut, self.input_size))) * (2 if self.cut else 1)
        return self.has_maps * maps + 2 * self.pooling.frozen_size(self.cut)

    @property
    def _names(self) -> list[str]:
        return ["maps"] * self.has_maps + ["pooled"] * (self.pooling.frozen_size(self.cut) > 0)


def photo_pixels(photo: AnyPhoto, input_size: int, view: int = 0) -> np.ndarray:
    """Return one view of a photo as the network's input, uint8 RGB [size, size, 3].

    Raises `preprocessing.PhotoError` when the bytes are not a usable photo.
    """
    image = augmentation.augmented_view(decode_photo(photo.read()), photo.sha256, view)
    return to_input(image, input_size)


def calibration_pixels(photos: Sequence[AnyPhoto], input_size: int, count: int) -> list[np.ndarray]:
    """Return the pixels of at most `count` photos, uint8 RGB [size, size, 3].

    They are the first ones by SHA-256, so the same photos are chosen each time.
    """
    chosen = sorted(photos, key=lambda photo: photo.sha256)[:count]
    return [photo_pixels(photo, input_size) for photo in chosen]


def open_cache(
    root: Path,
    weights: Mapping[str, np.ndarray],
    calibration: Sequence[AnyPhoto],
    *,
    cut: int,
    input_size: int,
    pooling: Pooling = AVERAGE,
) -> FeatureCache:
    """Return the feature cache of the first `cut` convolutions (0 to 13) with these `weights`.

    The stem is exported when the cache under `root` does not have it yet. Its quantisation ranges
    then come from the training photos in `calibration`. `input_size` is in pixels. With all
    convolutions, the poolings that `DEFAULT_POOLING` has share its features.
    """
    part = None
    if cut == len(CONVOLUTIONS) and pooling != DEFAULT_POOLING and DEFAULT_POOLING.has(pooling):
        weights = {**load_projections(DEFAULT_POOLING), **weights}
        pooling, part = DEFAULT_POOLING, pooling
    if cut == 0:
        folder = root / "features" / f"pixels-{input_size}-{augmentation.VERSION}"
        return FeatureCache(folder, None, input_size, cut, pooling)
    frozen = {
        f"{layer.name}/{kind}": weights[f"{layer.name}/{kind}"]
        for layer in CONVOLUTIONS[:cut]
        for kind in ("kernel", "bias")
    }
    # NumPy does the pooling: in int8, the pooled features would lose too much precision.
    blocks = "".join(str(block) for block in pooling.maps if BLOCK_ENDS[block] <= cut)
    name = f"{weights_digest(frozen)[:16]}-{cut}-{input_size}-maps{blocks}"
    stem_path = root / "stems" / f"{name}.tflite"
    if not stem_path.exists():
        from mlmodels.ml.export import quantise
        from mlmodels.ml.network import build_stem, set_weights

        model = build_stem(cut, input_size, pooling)
        set_weights(model, frozen)
        pixels = calibration_pixels(calibration, input_size, STEM_CALIBRATION_PHOTOS)
        write_atomically(stem_path, [quantise(model, pixels, input_size)])
    # The stem's bytes are part of the key because another calibration gives other features.
    key = hashlib.sha256(stem_path.read_bytes())
    projections = {
        block: weights[projection_name(block)]
        for block in pooling.projected
        if BLOCK_ENDS[block] <= cut
    }
    if pooling.frozen_size(cut):
        key.update(repr(pooling).encode())
    for projection in projections.values():
        key.update(projection.tobytes())
    folder = root / "features" / f"{name}-{key.hexdigest()[:16]}-{augmentation.VERSION}"
    return FeatureCache(folder, stem_path, input_size, cut, pooling, projections, part)


def extract_features(
    cache: FeatureCache,
    photos: Sequence[tuple[AnyPhoto, int]],
    *,
    threads: int,
    progress: Callable[[int, int], None],
    should_stop: Callable[[int], bool],
) -> int:
    """Compute, in order, the features of those (photo, view) pairs that are not cached yet.

    Returns the number of pairs, counted from the first, that are in the cache afterwards. After
    every batch, and `should_stop` before the first, this thread calls `progress(done, total)` and
    `should_stop(done)`; the extraction ends when `should_stop` returns True or either raises. Each
    of the `threads` runs its own stem. A photo takes about 50 ms at 224 px on two 2.8 GHz cores
    with VNNI. Raises `preprocessing.PhotoError` for a photo that can't be decoded.
    """
    cache.folder.mkdir(parents=True, exist_ok=True)
    os.utime(cache.folder)
    local = threading.local()

    def compute(pair: tuple[AnyPhoto, int]) -> None:
        photo, view = pair
        path = cache.path(photo.sha256, view)
        if path.exists():
            return
        arrays = [photo_pixels(photo, cache.input_size, view)]
        if cache.stem is not None:
            if not hasattr(local, "stem"):
                local.stem = Stem(cache.stem)
            arrays = [array.astype(np.float16) for array in _features(local.stem(*arrays), cache)]
        buffer = io.BytesIO()
        for array in arrays:
            np.save(buffer, array, allow_pickle=False)
        write_atomically(path, [buffer.getvalue()])

    done = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="features") as pool:
        while done < len(photos) and not should_stop(done):
            batch = photos[done : done + 8 * threads]
            list(pool.map(compute, batch))
            done += len(batch)
            progress(done, len(photos))
    return done


def prune_cache(
    root: Path,
    keep: FeatureCache,
    photos: Collection[AnyPhoto],
    max_bytes: int = CACHE_BYTES,
) -> None:
    """Remove features until at most `max_bytes` are left, but never those of `photos` in `keep`.

    The features of other stems go first, those of the least recently used stem before others. Then
    go the features in `keep` of photos that are not among `photos`, the oldest first.
    """
    folders = [folder for folder in (root / "features").glob("*") if folder != keep.folder]
    sizes = {
        folder: sum(file.stat().st_size for file in folder.iterdir())
        for folder in (*folders, keep.folder)
        if folder.is_dir()
    }
    for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime):
        if sum(sizes.values()) <= max_bytes:
            return
        shutil.rmtree(folder)
        del sizes[folder]
    if keep.folder not in sizes:
        return
    present = {photo.sha256 for photo in photos}
    others = [
        (file.stat(), file)
        for file in keep.folder.glob("*-*.npy")
        if file.name.rpartition("-")[0] not in present
    ]
    others.sort(key=lambda pair: (pair[0].st_mtime, pair[1].name))
    excess = sizes[keep.folder] - max_bytes
    for record, file in others:
        if excess <= 0:
            return
        file.unlink()
        excess -= record.st_size


def _features(maps: Mapping[str, np.ndarray], cache: FeatureCache) -> Iterator[np.ndarray]:
    """Yield the maps at the cut and the pooled part of the embedding, each if there is one."""
    if cache.has_maps:
        yield maps["features"]
    if cache.pooling.frozen_size(cache.cut):
        blocks = {
            block: maps[f"block{block}"]
            for block in cache.pooling.maps
            if BLOCK_ENDS[block] <= cache.cut
        }
        yield pool(blocks, cache.pooling, cache.projections)


class Stem:
    """A LiteRT interpreter with one thread: uint8 pixels [size, size, 3] to named float32 maps."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._runner = Interpreter(str(path), num_threads=1).get_signature_runner()

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        return {name: maps[0] for name, maps in self._runner(pixels=pixels[None]).items()}
