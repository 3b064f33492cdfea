"""Measures an engine on labelled photos, without TensorFlow: the engine that also serves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlmodels.ml.answer_measures import measure
from mlmodels.ml.answers import AnswerCalibration, scope_scores
from mlmodels.ml.calibration import expected_calibration_error, softmax
from mlmodels.ml.dataset import LabelledPhoto, OtherPhoto
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.features import AnyPhoto, photo_pixels
from mlmodels.ml.metrics import evaluate
from mlmodels.ml.sizes import ResizedPhoto, two_sizes


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

    @property
    def new(self) -> tuple[OtherPhoto, ...]:
        """Return the photos that are not near training."""
        near = zip(self.photos, self.is_near_training, strict=True)
        return tuple(photo for photo, is_near in near if not is_near)


@dataclass(frozen=True)
class EngineOutputs:
    """What an engine gives for some photos."""

    logits: np.ndarray
    """Float32 [photos, outputs]: the labels', and last that of other species where there is one."""
    lognorms: np.ndarray
    """Float64 [photos]."""


def engine_outputs(
    engine: LiteRTEngine,
    photos: Sequence[AnyPhoto],
    on_photo: Callable[[], object] = lambda: None,
) -> EngineOutputs:
    """Return the engine's outputs for one or more photos. Call `on_photo` after each photo."""
    rows = []
    for photo in photos:
        rows.append(engine.score(photo_pixels(photo, engine.input_size)))
        on_photo()
    return EngineOutputs(
        np.stack([row.logits for row in rows]), np.array([row.lognorm for row in rows])
    )


def in_sizes_of(others: HeldOutOthers, held_out: HeldOutPhotos) -> list[ResizedPhoto]:
    """Return copies of the others that are not near training, in the sizes of the held-out photos.

    A network tells sources of photos apart by their sizes sooner than species.
    """
    return two_sizes(others.new, np.array(held_out.longer_sides))[0]


def scope_percentages(outputs: EngineOutputs, calibration: AnswerCalibration) -> list[float]:
    """Return each photo's scope in percent, with four decimals."""
    scopes = scope_scores(outputs.logits, outputs.lognorms, calibration)
    return [round(100 * float(scope), 4) for scope in scopes]


def answer_metrics(
    outputs: EngineOutputs,
    held_out: HeldOutPhotos,
    calibration: AnswerCalibration,
    others: HeldOutOthers | None = None,
    other_outputs: EngineOutputs | None = None,
) -> dict[str, Any]:
    """Return `scope`, `plausible` and `verdicts` on held-out photos, as `answer_measures.measure`.

    `other_outputs`: for `in_sizes_of(others, held_out)`; None if there are none of these. A fourth
    entry, `others_set`, is the hash of `others`, or None. Fewer than two held-out photos give
    nothing but this one.
    """
    measured: dict[str, Any] = {"others_set": others.sha256 if others else None}
    if len(held_out.photos) < 2:
        return measured
    parts = [outputs]
    labels = [photo.label for photo in held_out.photos]
    groups = [photo.group for photo in held_out.photos]
    if others is not None and other_outputs is not None:
        parts.append(other_outputs)
        labels += [calibration.n_labels] * len(others.new)
        groups += [photo.group for photo in others.new]
    figures = measure(
        calibration,
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.lognorms for part in parts]),
        np.array(labels),
        np.array(groups, dtype=object),
    )
    return {**{name: figures[name] for name in ("scope", "plausible", "verdicts")}, **measured}


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
