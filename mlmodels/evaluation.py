"""How good an engine is on labelled photos. No TensorFlow: what is measured is what serves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlmodels.ml.dataset import LabelledPhoto
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.features import photo_pixels
from mlmodels.ml.metrics import evaluate


@dataclass(frozen=True)
class HeldOutPhotos:
    """Labelled photos that no training ever saw. `sha256` names the set: its photos and labels."""

    sha256: str
    photos: tuple[LabelledPhoto, ...]
    is_near_training: tuple[bool, ...]
    """Which of them resemble a training photo, or probably show the same find."""


def engine_logits(
    engine: LiteRTEngine,
    photos: Sequence[LabelledPhoto],
    on_photo: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """Return the logits, float32 [photos, labels]; `on_photo` is called after each photo."""
    rows = []
    for photo in photos:
        rows.append(engine.score(photo_pixels(photo, engine.input_size)).logits)
        on_photo()
    return np.stack(rows)


def held_out_metrics(
    logits: np.ndarray, held_out: HeldOutPhotos, labels: tuple[str, ...], temperature: float
) -> dict[str, Any]:
    """Return the figures on all photos, and `without_near_training` those on the others alone.

    As plain dictionaries, ready for JSON: `EvaluationMetrics.as_dict`, with the set's hash and the
    calibration error that the scores had without the temperature (`ece_uncalibrated`).
    """
    truth = np.array([photo.label for photo in held_out.photos])
    metrics = evaluate(logits, truth, labels, temperature).as_dict()
    metrics["evaluation_set"] = held_out.sha256
    metrics["ece_uncalibrated"] = evaluate(logits, truth, labels).ece
    far = ~np.array(held_out.is_near_training)
    if far.any():
        alone = evaluate(logits[far], truth[far], labels, temperature).as_dict()
        metrics["without_near_training"] = {
            name: alone[name] for name in ("n", "correct", "accuracy", "ci95", "ece")
        }
    return metrics
