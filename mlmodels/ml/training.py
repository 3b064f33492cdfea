"""Training of a calibrated network from photos and the weights of ImageNet or an earlier version.

The features at the cut are computed once (`features`). The head is fitted by ridge regression
(`head`). If only the head is trained, that is all: the outputs of heads that were fitted without a
photo's find calibrate the version (`answer_calibration`), and the head is fitted to all photos.

Otherwise the chosen layers are then trained together (`optimisation`) and measured on the
validation photos. The temperature is fitted to these (`calibration`) and corrected for how much
harder they are than all photos, as measured with heads that were not fitted to the photos they
score. If there is time, the layers are trained again in the same way with the validation photos
included (a quarter more photos at a split of 80/20). This module does not know where photos or
weights come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mlmodels.ml.answer_calibration import calibrate
from mlmodels.ml.answer_measures import cross_measure
from mlmodels.ml.answers import AnswerCalibration
from mlmodels.ml.calibration import fit_temperature
from mlmodels.ml.dataset import Dataset
from mlmodels.ml.features import CACHE_BYTES, open_cache, prune_cache
from mlmodels.ml.head import blank_head
from mlmodels.ml.head_training import Fitted, TrainingSetup, train_head
from mlmodels.ml.layers import (
    CONVOLUTIONS,
    HEAD,
    frozen_convolutions,
    trained_layers,
)
from mlmodels.ml.metrics import evaluate
from mlmodels.ml.network import build_tail, set_weights
from mlmodels.ml.optimisation import supports_bfloat16
from mlmodels.ml.reference import load_projection
from mlmodels.ml.training_session import TrainingSession
from mlmodels.ml.training_types import (
    EpochRecord,
    Progress,
    TrainedNetwork,
    TrainingParameters,
    TrainingStopped,
)

__all__ = [
    "EpochRecord",
    "Progress",
    "StartingPoint",
    "TrainedNetwork",
    "TrainingParameters",
    "TrainingStopped",
    "train",
]


MIN_CALIBRATED = 100
"""Validation photos from which a version with trained layers is calibrated; fewer are too few."""
_DENSE = (f"{HEAD}/kernel", f"{HEAD}/bias")


@dataclass(frozen=True)
class StartingPoint:
    """An earlier version from which the training continues."""

    weights: Mapping[str, np.ndarray]
    """Its head and changed layers (`Artifact.load_weights`), float32. The caller must ensure that
    they are for the same labels in the same order."""
    temperature: float
    """Its temperature, kept where the validation photos can't be used to fit another."""


def train(
    dataset: Dataset,
    parameters: TrainingParameters,
    *,
    backbone: Mapping[str, np.ndarray],
    cache_dir: Path,
    start: StartingPoint | None = None,
    cut: int | None = None,
    max_cache_bytes: int = CACHE_BYTES,
    progress: Callable[[Progress], None],
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> TrainedNetwork:
    """Train the last `parameters.variables` layers on `dataset` and return the network.

    `backbone`: ImageNet's tensors (`backbone.load_backbone`); those in `start` replace them.
    Features are cached under `cache_dir`, which is reduced to `max_cache_bytes` where this dataset
    does not need more. `cut` is the number of
    convolutions that compute them: by default all frozen ones. Pass a lower number to reuse
    features that were cached at that cut.

    `progress` and `should_stop` are called several times a minute, from this thread. When
    `should_stop` returns True, the training raises `TrainingStopped`. When the time budget
    (`parameters.minutes`, measured by `clock` in seconds) ends, the best weights so far are
    returned. Raises `preprocessing.PhotoError` for a photo that can't be decoded and `ValueError`
    for weights that do not fit.

    On one machine, the same arguments give the same result up to rounding (threads add floats in
    no fixed order), if the budget is not reached and `cache_dir` holds the same stem. TensorFlow
    is switched to deterministic operations for the whole process.
    """
    session = TrainingSession(dataset, parameters, progress, should_stop, clock)
    initial = start.weights if start else {}
    weights = {**load_projection(parameters.pooling), **backbone, **initial}
    setup = prepare(session, weights, cache_dir, cut)
    prune_cache(cache_dir, setup.cache, dataset.photos, max_cache_bytes)
    if parameters.variables == 1:
        fitted = train_head(session, setup, weights)
        if any(not name.startswith(f"{HEAD}/") for name in initial):
            # Its convolutions may know the photos, so that it would be calibrated as too sure.
            fitted = replace(fitted, calibration=None, figures={})
    else:
        fitted = _train_layers(session, setup, weights, start)
    changed = {name.split("/")[0] for name in initial} | set(trained_layers(parameters.variables))
    best = fitted.best
    return TrainedNetwork(
        labels=dataset.labels,
        parameters=parameters,
        weights={**weights, **fitted.weights},
        stem=None if setup.cache.has_maps or parameters.pooling.is_average else setup.cache.stem,
        changed_layers=tuple(
            name for name in (*(layer.name for layer in CONVOLUTIONS), HEAD) if name in changed
        ),
        temperature=fitted.temperature,
        calibration=fitted.calibration,
        figures=fitted.figures,
        other_photos=fitted.other_photos,
        temperature_ratio=fitted.temperature_ratio,
        validation=evaluate(
            best.logits, session.validation_labels, dataset.labels, fitted.temperature
        ),
        validation_logits=best.logits,
        history=tuple(session.history),
        best_epoch=best.epoch,
        refitted=fitted.refitted,
        views=setup.views,
        out_of_time=session.out_of_time,
        seconds=session.elapsed(),
    )


def _train_layers(
    session: TrainingSession,
    setup: TrainingSetup,
    weights: Mapping[str, np.ndarray],
    start: StartingPoint | None,
) -> Fitted:
    """Train the layers after the cut by gradient descent, from a fitted head or from `start`.

    The result has no output for other species: nothing measures what training the layers does to
    it. Scope is told by the best score, from the validation photos if they are new and enough.
    """
    dataset = session.dataset
    ratio = 1.0
    if start is None:
        embeddings = session.embeddings(setup.tail, setup.cache, dataset.photos, setup.views)
        logits = session.out_of_fold(embeddings).logits
        temperature, ratio = session.temperatures(logits)
        head = session.fit_head(embeddings, dataset.training, None)
    else:
        temperature, head = start.temperature, dict(start.weights)
    head = scaled_head(head, len(dataset.labels), temperature)
    set_weights(setup.tail, {**weights, **head})
    validation_is_new = dataset.validation_is_new
    best = session.fit_layers(
        setup.tail,
        setup.cache,
        setup.views,
        choose_best=validation_is_new,
        will_refit=validation_is_new,
    )
    trained, refitted = best.weights, False
    if validation_is_new and best.epoch and session.has_time_to_refit(best.epoch):
        set_weights(setup.tail, {**weights, **head})
        refitted_weights = session.refit_layers(setup.tail, setup.cache, setup.views, best.epoch)
        if refitted_weights is not None:
            trained, refitted = refitted_weights, True

    session.report("calibration", 0.99)
    if start and not validation_is_new:
        temperature = 1.0  # the head was scaled to it
    else:
        temperature = ratio * fit_temperature(best.logits, session.validation_labels)
    calibration: AnswerCalibration | None = None
    figures: dict[str, Any] = {}
    if validation_is_new and len(best.logits) >= MIN_CALIBRATED:
        arrays = (
            best.logits,
            np.zeros(len(best.logits)),
            session.validation_labels,
            np.array([photo.group for photo in dataset.validation]),
        )
        n_labels = len(dataset.labels)
        calibration = calibrate(*arrays, n_labels=n_labels, temperature=temperature)
        figures = cross_measure(*arrays, n_labels=n_labels, temperature=temperature)
    return Fitted({**head, **trained}, best, temperature, calibration, figures, ratio, refitted)


def scaled_head(
    head: Mapping[str, np.ndarray], n_labels: int, temperature: float
) -> dict[str, np.ndarray]:
    """Return the head for the labels alone, its outputs divided by `temperature`."""
    dense = {
        name: head[name][..., :n_labels] / np.float32(temperature)
        for name in (f"{HEAD}/kernel", f"{HEAD}/bias")
    }
    rest = {name: value for name, value in head.items() if name.startswith(f"{HEAD}/")}
    return {**rest, **dense}


def prepare(
    session: TrainingSession, weights: Mapping[str, np.ndarray], cache_dir: Path, cut: int | None
) -> TrainingSetup:
    """Return the layers after the cut and their features, computing those not cached yet.

    The convolutions have the values in `weights`; all weights of the dense layer are 0.
    `cut` None stands for the number of frozen convolutions. This seeds TensorFlow, NumPy and
    Python, and switches TensorFlow to deterministic operations, for the whole process.
    """
    parameters, dataset = session.parameters, session.dataset
    frozen = frozen_convolutions(parameters.variables)
    cut = frozen if cut is None else cut
    keras.utils.set_random_seed(parameters.seed)
    tf.config.experimental.enable_op_determinism()
    cache = open_cache(
        cache_dir,
        weights,
        dataset.training,
        cut=cut,
        input_size=parameters.input_size,
        pooling=parameters.pooling,
    )
    views = session.extract(cache)
    in_bfloat16 = supports_bfloat16()
    tail = build_tail(
        cut,
        parameters.input_size,
        len(dataset.labels),
        parameters.pooling,
        dtype="mixed_bfloat16" if in_bfloat16 else "float32",
        frozen=frozen,
        dropout=parameters.dropout,
        seed=parameters.seed,
        winograd=not in_bfloat16,
    )
    body = {name: value for name, value in weights.items() if name not in _DENSE}
    set_weights(tail, {**blank_head(len(dataset.labels), parameters.pooling), **body})
    return TrainingSetup(tail, cache, views)
