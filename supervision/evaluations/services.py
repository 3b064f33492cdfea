"""Evaluates versions on held-out photos, and stores the results."""

import statistics
import time
from collections.abc import Callable

import numpy as np
from django.conf import settings

from mlmodels.evaluation import HeldOutPhotos, engine_logits, held_out_metrics
from mlmodels.ml.calibration import softmax
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.features import photo_pixels
from mlmodels.models import ModelVersion
from mlmodels.selectors import version_artifact
from supervision.models import Evaluation

TIMED_PHOTOS = 9
"""Number of photos that the engine is timed on."""


def version_evaluate(
    *,
    version: ModelVersion,
    held_out: HeldOutPhotos,
    on_photo: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Evaluate a version's engine on a set of photos; return a stored evaluation if there is one.

    Calls `on_photo` after each photo. Raises ArtifactError if the version's files are not intact.
    """
    stored = Evaluation.objects.filter(
        model_version=version, evaluation_set=held_out.sha256
    ).first()
    if stored is not None:
        return stored
    engine = version_artifact(version).load_engine(settings.CHAMPIPY_INFERENCE_THREADS or 1)
    logits = engine_logits(engine, held_out.photos, on_photo)
    return _store(version, held_out, logits, engine)


def evaluation_store(
    *, version: ModelVersion, held_out: HeldOutPhotos, logits: np.ndarray
) -> Evaluation:
    """Store what a version's engine answered to the held-out photos when it was trained.

    `logits` are float [photos, labels]. Only the time for a photo is measured here. A stored
    evaluation is returned unchanged. Raises ArtifactError if the version's files are not intact.
    """
    engine = version_artifact(version).load_engine(settings.CHAMPIPY_INFERENCE_THREADS or 1)
    return _store(version, held_out, logits, engine)


def _store(
    version: ModelVersion, held_out: HeldOutPhotos, logits: np.ndarray, engine: LiteRTEngine
) -> Evaluation:
    metrics = held_out_metrics(logits, held_out, tuple(version.labels), version.temperature)
    evaluation, _ = Evaluation.objects.get_or_create(
        model_version=version,
        evaluation_set=held_out.sha256,
        defaults={
            "accuracy": metrics["accuracy"],
            "n": metrics["n"],
            "metrics": metrics,
            "answers": _answers(logits[:, : len(version.labels)], held_out, version.temperature),
            "ms_per_photo": _ms_per_photo(engine, held_out),
        },
    )
    return evaluation


def _answers(
    logits: np.ndarray, held_out: HeldOutPhotos, temperature: float
) -> dict[str, list[float]]:
    """Return [true label, answered label, score in percent] by the photo's SHA-256."""
    return {
        photo.sha256: [photo.label, int(scores.argmax()), round(100 * float(scores.max()), 2)]
        for photo, scores in zip(held_out.photos, softmax(logits, temperature), strict=True)
    }


def _ms_per_photo(engine: LiteRTEngine, held_out: HeldOutPhotos) -> float:
    """Return the engine's median time for a photo in milliseconds, without decoding."""
    times = []
    for photo in held_out.photos[:TIMED_PHOTOS]:
        pixels = photo_pixels(photo, engine.input_size)
        started = time.perf_counter()
        engine.score(pixels)
        times.append(time.perf_counter() - started)
    return round(1000 * statistics.median(times), 1)
