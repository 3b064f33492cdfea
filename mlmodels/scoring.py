"""Scores photos with a model version. The last engine used stays loaded in this process."""

import ctypes
import os
import threading

import numpy as np
from django.conf import settings
from PIL import Image

from mlmodels.ml.calibration import softmax
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.preprocessing import to_input
from mlmodels.models import ModelVersion
from mlmodels.selectors import version_artifact

_M_MMAP_THRESHOLD = -3  # in malloc.h

_lock = threading.Lock()
_loaded: tuple[int, LiteRTEngine] | None = None


def load_engine(version: ModelVersion) -> None:
    """Load a version's engine into this process, so that the next photo does not wait for it."""
    with _lock:
        _engine(version)


def score_image(version: ModelVersion, image: Image.Image) -> list[float]:
    """Return calibrated percentages (two decimals) in the order of the version's labels.

    `image` is the result of `decode_photo`. Calls run one at a time: they share the engine's
    memory.
    """
    with _lock:
        scores = _engine(version).score(to_input(image, version.input_size))
    percentages = 100 * softmax(scores.logits / version.temperature)
    return [round(float(score), 2) for score in np.asarray(percentages)]


def _engine(version: ModelVersion) -> LiteRTEngine:
    global _loaded  # noqa: PLW0603 - this process's only engine
    if _loaded is None or _loaded[0] != version.pk:
        threads = settings.CHAMPIPY_INFERENCE_THREADS or os.cpu_count() or 1
        _return_large_blocks()
        _loaded = version.pk, version_artifact(version).load_engine(threads)
    return _loaded[1]


def _return_large_blocks() -> None:
    """Have the C library return freed blocks of 1 MB and more to the system at once.

    Otherwise it keeps 80 MB that an engine needs only while it loads, or a large photo while it is
    decoded.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; others need none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**20)
