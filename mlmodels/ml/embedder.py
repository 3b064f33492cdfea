"""The embedding by which similar photos are found: of the frozen network.

No promotion and no training changes it: it has files of its own, in `mlmodels/embedder/`.

    engine.tflite           VGG16's ImageNet convolutions in int8, as `export.export_engine` wrote
    projection.safetensors  ``mean`` [512] and ``components`` [SIZE, 512] of a PCA

The maps of the last block are pooled by their generalised mean and projected (Radenovic et al.
2018, "Fine-tuning CNN image retrieval with no human annotation"). README.md there says how this was
chosen. Neither Django nor TensorFlow is imported.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import load_file

from mlmodels.ml.card import ENGINE
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.layers import Pooling

FOLDER: Final = Path(__file__).resolve().parent.parent / "embedder"
PROJECTION: Final = "projection.safetensors"
SIZE: Final = 128
"""Numbers of an embedding."""
BLOCK: Final = 5
"""The block of VGG16 whose maps are pooled."""
POWER: Final = 3
"""Exponent of the generalised mean: 1 would be the average, infinity the maximum."""


@dataclass(frozen=True)
class Embedder:
    """Turns a photo's feature maps into its embedding.

    The cosine of two embeddings, -1 to 1, says how similar the photos are.
    """

    id: str
    """SHA-256 of its files. Embeddings of embedders with different ids do not compare."""
    engine_sha256: str
    mean: np.ndarray
    components: np.ndarray

    def embed(self, maps: Mapping[int, np.ndarray]) -> np.ndarray:
        """Return the embedding, float32 [SIZE] of length 1.

        `maps`: what `LiteRTEngine.maps` of this embedder's engine returns for the photo.
        """
        return normalised(self.components @ (pooled(maps[BLOCK]) - self.mean))

    def is_engine_of(self, files: Mapping[str, Any]) -> bool:
        """Return whether a version with these `files` (ModelVersion.files) has the same engine."""
        return bool(files.get(ENGINE, {}).get("sha256") == self.engine_sha256)


@functools.cache
def embedder() -> Embedder:
    """Return the embedder that comes with ChampiPy."""
    engine, projection = (_sha256(FOLDER / name) for name in (ENGINE, PROJECTION))
    tensors = load_file(FOLDER / PROJECTION)
    return Embedder(
        id=hashlib.sha256(f"{engine} {projection}".encode()).hexdigest(),
        engine_sha256=engine,
        mean=tensors["mean"],
        components=tensors["components"],
    )


def load_embedding_engine(num_threads: int) -> LiteRTEngine:
    """Return the embedder's engine; only its `maps` are of use. Not thread-safe."""
    return LiteRTEngine.load(FOLDER / ENGINE, {}, Pooling((BLOCK,)), num_threads)


def pooled(maps: np.ndarray) -> np.ndarray:
    """Return the generalised mean of each channel, scaled to length 1 together.

    `maps`: float32 [h, w, c], 0 or more; the result is float32 [c].
    """
    mean: np.ndarray = (maps**POWER).mean(axis=(0, 1))
    return normalised(mean ** (1 / POWER))


def normalised(vector: np.ndarray) -> np.ndarray:
    """Return a vector scaled to length 1, float32; one of zeros unchanged."""
    length = float(np.linalg.norm(vector))
    return (vector / length if length else vector).astype(np.float32)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
