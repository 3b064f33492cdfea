"""Scores photos with a model version and embeds them. Engines stay loaded in this process.

The functions may be called from several threads.
"""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from django.conf import settings
from PIL import Image

from common.metrics import ENGINE_SECONDS
from common.tracing import span
from mlmodels.ml.answers import AnswerCalibration, answer
from mlmodels.ml.calibration import softmax
from mlmodels.ml.embedder import BLOCK, embedder, load_embedding_engine
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.preprocessing import to_input
from mlmodels.models import ModelVersion
from mlmodels.photo_answers import PhotoAnswer, percentages, photo_answer
from mlmodels.selectors import answer_calibration, production_version, version_artifact

_M_MMAP_THRESHOLD = -3  # in malloc.h

LANES = 2
"""Photos that are scored at the same time, each by an engine with a thread for each core.

While one is decoded, or pooled by one thread, or waits for a core that something else has, the
other has the cores.
"""


class _Loaded:
    """A version's engines in this process; the second is made once two are needed at a time."""

    def __init__(
        self, version_id: int, engine: LiteRTEngine, calibration: AnswerCalibration | None
    ) -> None:
        self.version_id = version_id
        self.calibration = calibration
        self._first = engine
        self._free = [engine]
        self._count = 1
        self._changed = threading.Condition()

    @contextmanager
    def engine(self) -> Iterator[LiteRTEngine]:
        """Lend an engine, once one is free."""
        with self._changed:
            self._changed.wait_for(lambda: self._free or self._count < LANES)
            engine = self._free.pop() if self._free else None
            self._count += engine is None
        try:
            if engine is None:
                engine = self._first.twin()
            yield engine
        finally:
            with self._changed:
                if engine is None:
                    self._count -= 1
                else:
                    self._free.append(engine)
                self._changed.notify()


_lock = threading.Lock()
_loaded: _Loaded | None = None
_loaded_embedder: LiteRTEngine | None = None


def load_engine(version: ModelVersion) -> None:
    """Load a version's engine into this process, so that the next photo does not wait for it."""
    _engines(version)


def scorer(version: ModelVersion) -> Callable[[np.ndarray], PhotoAnswer]:
    """Load a version's engine as `load_engine` does, and return what scores photos with it.

    It takes what `to_input` returns for the version's input size, and reads no database. At most
    `LANES` photos are scored at a time; further calls wait. Raises ArtifactError if the version's
    files or its calibration are damaged.
    """
    loaded = _engines(version)

    def score(pixels: np.ndarray) -> PhotoAnswer:
        with loaded.engine() as engine:
            return _answer(version, pixels, engine, loaded.calibration)

    return score


def score_image(version: ModelVersion, image: Image.Image) -> PhotoAnswer:
    """Return the version's answer for a photo; `image` is the result of `decode_photo`.

    Raises ArtifactError as `scorer` does.
    """
    return scorer(version)(to_input(image, version.input_size))


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
    yield lambda image: _answer(version, to_input(image, version.input_size), engine, calibration)


def _answer(
    version: ModelVersion,
    pixels: np.ndarray,
    engine: LiteRTEngine,
    calibration: AnswerCalibration | None,
) -> PhotoAnswer:
    with span("engine"), ENGINE_SECONDS.time():
        outputs = engine.score(pixels)
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
    with _engine_of(version) as engine:
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
    with _embedding_engine() as engine:
        return embedder().embed(engine.maps(to_input(image, engine.input_size)))


@contextmanager
def _embedding_engine() -> Iterator[LiteRTEngine]:
    global _loaded_embedder  # noqa: PLW0603 - this process's only one
    version = production_version()
    if version is not None and embedder().is_engine_of(version.files):
        with _engines(version).engine() as engine:
            if BLOCK in engine.blocks:
                _loaded_embedder = None
                yield engine
                return
    with _lock:
        if _loaded_embedder is None:
            _return_large_blocks()
            _loaded_embedder = load_embedding_engine(_threads())
        yield _loaded_embedder


@contextmanager
def _engine_of(version: ModelVersion) -> Iterator[LiteRTEngine]:
    """Lend an engine of a version; it stays loaded only if no other version is in use here."""
    if _loaded is None or _loaded.version_id == version.pk:
        with _engines(version).engine() as engine:
            yield engine
    else:
        yield version_artifact(version).load_engine(_threads())


def _engines(version: ModelVersion) -> _Loaded:
    global _loaded  # noqa: PLW0603 - this process's only version
    with _lock:
        if _loaded is None or _loaded.version_id != version.pk:
            _return_large_blocks()
            calibration = answer_calibration(version)
            engine = version_artifact(version).load_engine(_threads())
            _loaded = _Loaded(version.pk, engine, calibration)
        return _loaded


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
