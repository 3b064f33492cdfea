"""Scores photos with a model version and embeds them. Engines stay loaded in this process."""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from django.conf import settings
from PIL import Image

from mlmodels.ml.answers import AnswerCalibration, answer
from mlmodels.ml.calibration import softmax
from mlmodels.ml.embedder import BLOCK, embedder, load_embedding_engine
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.preprocessing import to_input
from mlmodels.models import ModelVersion
from mlmodels.photo_answers import PhotoAnswer, percentages, photo_answer
from mlmodels.selectors import answer_calibration, production_version, version_artifact

_M_MMAP_THRESHOLD = -3  # in malloc.h

_lock = threading.Lock()
_loaded: tuple[int, LiteRTEngine, AnswerCalibration | None] | None = None
_loaded_embedder: LiteRTEngine | None = None


def load_engine(version: ModelVersion) -> None:
    """Load a version's engine into this process, so that the next photo does not wait for it."""
    with _lock:
        _engine(version)


def score_image(version: ModelVersion, image: Image.Image) -> PhotoAnswer:
    """Return the version's answer for a photo.

    `image` is the result of `decode_photo`. Calls run one at a time: they share the engine's
    memory. Raises ArtifactError if the version's files or its calibration are damaged.
    """
    with _lock:
        engine, calibration = _engine(version)
        return _answer(version, image, engine, calibration)


@contextmanager
def guest_scorer(version: ModelVersion) -> Iterator[Callable[[Image.Image], PhotoAnswer]]:
    """Load a version beside the one in use here, and yield what scores photos with it.

    It takes the result of `decode_photo`, like `score_image`. The engine is freed at the end, so
    that the process is as small as before, and the other version stays loaded. Raises ArtifactError
    if the version's files or its calibration are damaged.
    """
    _return_large_blocks()
    calibration = answer_calibration(version)
    engine = version_artifact(version).load_engine(_threads())
    yield lambda image: _answer(version, image, engine, calibration)


def _answer(
    version: ModelVersion,
    image: Image.Image,
    engine: LiteRTEngine,
    calibration: AnswerCalibration | None,
) -> PhotoAnswer:
    outputs = engine.score(to_input(image, version.input_size))
    if calibration is None:
        logits = outputs.logits[: len(version.labels)]
        return PhotoAnswer(percentages(softmax(logits, version.temperature)))
    return photo_answer(answer(outputs.logits, outputs.lognorm, calibration))


def explain_image(
    version: ModelVersion, image: Image.Image, *, species: str, against: str | None
) -> np.ndarray:
    """Return how much each cell of a photo speaks for a species, float64 [rows, columns].

    `image` is the result of `decode_photo`; `species` and `against` are labels of the version.
    `ml.explanation.explain` says what the numbers mean. A version that is not in use here is loaded
    for this call alone, so that the next photo does not wait for the other one. Raises
    ArtifactError if the version's files are missing or damaged.
    """
    with _lock:
        if _loaded is None or _loaded[0] == version.pk:
            engine, _ = _engine(version)
        else:
            engine = version_artifact(version).load_engine(_threads())
        return engine.explain(
            to_input(image, version.input_size),
            temperature=version.temperature,
            n_labels=len(version.labels),
            species=version.labels.index(species),
            against=None if against is None else version.labels.index(against),
        )


def embed_image(image: Image.Image) -> np.ndarray:
    """Return the photo's embedding (`Embedder.embed`), float32 [embedder.SIZE].

    `image` is the result of `decode_photo`. Where the version in production computes the same maps,
    its engine serves both; else the embedder's own is loaded, and stays.
    """
    with _lock:
        engine = _embedding_engine()
        return embedder().embed(engine.maps(to_input(image, engine.input_size)))


def _embedding_engine() -> LiteRTEngine:
    global _loaded_embedder  # noqa: PLW0603 - this process's only one
    version = production_version()
    if version is not None and embedder().is_engine_of(version.files):
        engine, _ = _engine(version)
        if BLOCK in engine.blocks:
            _loaded_embedder = None
            return engine
    if _loaded_embedder is None:
        _return_large_blocks()
        _loaded_embedder = load_embedding_engine(_threads())
    return _loaded_embedder


def _engine(version: ModelVersion) -> tuple[LiteRTEngine, AnswerCalibration | None]:
    global _loaded  # noqa: PLW0603 - this process's only engine
    if _loaded is None or _loaded[0] != version.pk:
        _return_large_blocks()
        calibration = answer_calibration(version)
        _loaded = version.pk, version_artifact(version).load_engine(_threads()), calibration
    return _loaded[1:]


def _threads() -> int:
    return settings.CHAMPIPY_INFERENCE_THREADS or os.cpu_count() or 1


def _return_large_blocks() -> None:
    """Have the C library return freed blocks of 1 MB and more to the system at once.

    Otherwise it keeps 80 MB that an engine needs only while it loads, or a large photo while it is
    decoded.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; others need none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**20)
