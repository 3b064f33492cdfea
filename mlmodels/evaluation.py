"""Measures an engine on labelled photos, without TensorFlow: the engine that also serves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlmodels.ml.calibration import expected_calibration_error, softmax
from mlmodels.ml.dataset import LabelledPhoto, OtherPhoto
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.features import photo_pixels
from mlmodels.ml.metrics import evaluate


@dataclass(frozen=True)
class HeldOutPhotos:
    """Labelled photos that were never trained on. `sha256` is the hash of photos and labels."""

    sha256: str
    photos: tuple[LabelledPhoto, ...]
    is_near_training: tuple[bool, ...]
    """For each photo, whether it resembles a training photo or probably shows the same find."""
    longer_sides: tuple[int, ...]
    """For each photo, the pixels of its longer side as it came."""


@dataclass(frozen=True)
class HeldOutOthers:
    """Photos of other species that were never trained on. `sha256` is the hash of the set."""

    sha256: str
    photos: tuple[OtherPhoto, ...]
    is_near_training: tuple[bool, ...]
    """For each photo, whether training photos of other species include one of its genus or find."""


def engine_logits(
    engine: LiteRTEngine,
    photos: Sequence[LabelledPhoto],
    on_photo: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """Return the logits, float32 [photos, outputs]. Call `on_photo` after each photo.

    The outputs are the labels', and last that of other species where the engine has one.
    """
    rows = []
    for photo in photos:
        rows.append(engine.score(photo_pixels(photo, engine.input_size)).logits)
        on_photo()
    return np.stack(rows)


def held_out_metrics(
    logits: np.ndarray, held_out: HeldOutPhotos, labels: tuple[str, ...], temperature: float
) -> dict[str, Any]:
    """Return the metrics on the held-out photos as a dictionary, ready for JSON.

    It is `EvaluationMetrics.as_dict` with three more entries: `evaluation_set`, the set's hash;
    `ece_uncalibrated`, the calibration error without the temperature; and `without_near_training`,
    the metrics without the photos that are near a training photo (absent if all are).
    """
    truth = np.array([photo.label for photo in held_out.photos])
    logits = logits[:, : len(labels)]
    metrics = evaluate(logits, truth, labels, temperature, held_out.longer_sides).as_dict()
    metrics["evaluation_set"] = held_out.sha256
    metrics["ece_uncalibrated"] = expected_calibration_error(softmax(logits), truth)
    is_far = ~np.array(held_out.is_near_training)
    if is_far.any():
        far_metrics = evaluate(logits[is_far], truth[is_far], labels, temperature).as_dict()
        metrics["without_near_training"] = {
            name: far_metrics[name]
            for name in ("n", "correct", "accuracy", "ci95", "ece", "calibration")
        }
    return metrics
