"""The embedding by which similar photos are found."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlmodels.ml.card import ENGINE
from mlmodels.ml.embedder import FOLDER, SIZE, embedder, load_embedding_engine, pooled
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.preprocessing import decode_photo, to_input
from tests.support.photos import drawn_photo


@pytest.fixture(scope="module")
def engine() -> LiteRTEngine:
    return load_embedding_engine(1)


def embedding(engine: LiteRTEngine, data: bytes) -> np.ndarray:
    return embedder().embed(engine.maps(to_input(decode_photo(data), engine.input_size)))


def smaller(data: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).resize((160, 120)).save(file, "JPEG", quality=60)
    return file.getvalue()


def test_a_copy_is_nearer_than_any_other_photo(engine: LiteRTEngine) -> None:
    photos = [embedding(engine, drawn_photo(seed)) for seed in range(5)]
    copies = [embedding(engine, smaller(drawn_photo(seed))) for seed in range(5)]
    cosines = np.array(copies) @ np.array(photos).T
    assert np.array_equal(cosines.argmax(axis=1), range(5))
    assert np.diag(cosines).min() > 0.9


def test_an_embedding_is_short_of_length_one_and_repeatable(engine: LiteRTEngine) -> None:
    first = embedding(engine, drawn_photo(1))
    assert (first.shape, first.dtype) == ((SIZE,), np.float32)
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(first, embedding(engine, drawn_photo(1)))


def test_pooling_is_the_cube_root_of_the_mean_cube_scaled_to_length_one() -> None:
    maps = np.zeros((2, 2, 2), np.float32)
    maps[..., 0] = [[1, 2], [3, 4]]
    maps[0, 0, 1] = 5
    expected = np.array([(1 + 8 + 27 + 64) / 4, 125 / 4]) ** (1 / 3)
    assert pooled(maps) == pytest.approx(expected / np.linalg.norm(expected))
    assert pooled(np.zeros((2, 2, 2), np.float32)).tolist() == [0, 0]


def test_neighbours_among_real_photos_have_the_same_species(
    engine: LiteRTEngine, real_photos: Path
) -> None:
    """The last photos of three species, among the first of the ten: of chance, one in ten."""
    folders = sorted(path for path in (real_photos / "train").iterdir() if path.is_dir())
    gallery = [(folder.name, path) for folder in folders for path in sorted(folder.iterdir())[:12]]
    vectors = np.array([embedding(engine, path.read_bytes()) for _, path in gallery])
    right = []
    for folder in folders:
        for path in sorted(folder.iterdir())[-3:]:
            nearest = np.argsort(-(vectors @ embedding(engine, path.read_bytes())))[:5]
            right += [gallery[index][0] == folder.name for index in nearest]
    assert np.mean(right) > 0.35


def test_the_files_are_those_whose_embeddings_are_stored() -> None:
    """Other files have another id, and every photo is embedded again: that is no accident."""
    assert embedder().id.startswith("056bdc6e8cfd")
    assert {path.name for path in FOLDER.iterdir()} == {
        "engine.tflite", "projection.safetensors", "README.md",
    }  # fmt: skip


def test_a_version_with_the_same_engine_is_recognised() -> None:
    digest = hashlib.sha256((FOLDER / ENGINE).read_bytes()).hexdigest()
    assert embedder().is_engine_of({ENGINE: {"sha256": digest, "size": 1}})
    assert not embedder().is_engine_of({ENGINE: {"sha256": "0" * 64, "size": 1}})
    assert not embedder().is_engine_of({})
