"""Evaluation photos that tests of this folder share, and what the network computes for them."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from mlmodels import scoring
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.preprocessing import decode_photo
from mlmodels.models import ModelVersion, Species
from mlmodels.scoring import score_image
from predictions.import_services import photo_import
from predictions.models import Photo
from supervision.datasets.services import evaluation_set_freeze
from tests.support.photos import drawn_photo

PHOTOS = 8
Maps = dict[int, np.ndarray]


@pytest.fixture(scope="session")
def known_maps() -> dict[tuple, Maps]:
    """Return what engines have computed, by their file's size and time, blocks and the pixels."""
    return {}


@pytest.fixture(autouse=True)
def convolve_once(monkeypatch: pytest.MonkeyPatch, known_maps: dict) -> None:
    """Let the convolutions of one file compute each photo once: they are most of the time here.

    The versions of these tests differ in their heads, which compute each photo every time.
    """
    init, maps = LiteRTEngine.__init__, LiteRTEngine.maps
    files: dict[LiteRTEngine, os.stat_result] = {}

    def init_and_note(
        engine: LiteRTEngine,
        interpreter: Interpreter,
        head: Any,
        pooling: Any,
        path: Path,
        twin: Any,
    ) -> None:
        init(engine, interpreter, head, pooling, path, twin)
        files[engine] = path.stat()

    def known_or_new(engine: LiteRTEngine, pixels: np.ndarray) -> Maps:
        file = files[engine]
        key = file.st_size, file.st_mtime_ns, engine.blocks, pixels.tobytes()
        if key not in known_maps:
            known_maps[key] = maps(engine, pixels)
        return known_maps[key]

    monkeypatch.setattr(scoring, "_loaded", None)  # what other tests have loaded is not noted
    monkeypatch.setattr(scoring, "_loaded_embedder", None)
    monkeypatch.setattr(LiteRTEngine, "__init__", init_and_note)
    monkeypatch.setattr(LiteRTEngine, "maps", known_or_new)


@pytest.fixture
def evaluation_photos(production: ModelVersion) -> list[Photo]:
    """Store drawn photos, each labelled as the production version answers, and return them."""
    photos = []
    for seed in range(700, 700 + PHOTOS):
        data = drawn_photo(seed)
        scores = score_image(production, decode_photo(data)).scores
        photo_import(
            data=data,
            label=Species.objects.get_or_create(name=production.labels[scores.index(max(scores))])[
                0
            ],
            split=Photo.Split.EVALUATION,
            origin=f"{seed}.jpg",
            mushroom_observer_id=None,
        )
        photos.append(Photo.objects.get(sha256=hashlib.sha256(data).hexdigest()))
    evaluation_set_freeze(by=None, reason="test")
    return photos
