"""Training of a calibrated network from photos and the weights of ImageNet or an earlier version.

The features at the cut are computed once (`features`). The head is fitted by ridge regression
(`head`). If only the head is trained, that is all: the outputs of heads that were fitted without a
photo's find calibrate the version (`answer_calibration`), and the head is fitted to all photos.

Otherwise the chosen layers are then trained together, twice if there is time (`layer_training`).

This module does not know where photos or weights come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from mlmodels.ml.dataset import Dataset
from mlmodels.ml.features import CACHE_BYTES, open_cache, prune_cache
from mlmodels.ml.head import blank_head
from mlmodels.ml.head_training import train_head
from mlmodels.ml.layer_training import train_layers
from mlmodels.ml.layers import CONVOLUTIONS, HEAD, frozen_convolutions, trained_layers
from mlmodels.ml.metrics import evaluate
from mlmodels.ml.network import build_tail, set_weights
from mlmodels.ml.optimisation import supports_bfloat16
from mlmodels.ml.reference import load_projections
from mlmodels.ml.training_session import TrainingSession, TrainingSetup
from mlmodels.ml.training_types import (
    EpochRecord,
    Progress,
    StartingPoint,
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


_DENSE = (f"{HEAD}/kernel", f"{HEAD}/bias")


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
    weights = {**load_projections(parameters.pooling), **backbone, **initial}
    setup = prepare(session, weights, cache_dir, cut)
    prune_cache(cache_dir, setup.cache, dataset.photos, max_cache_bytes)
    if parameters.variables == 1:
        fitted = train_head(session, setup, weights)
        if any(not name.startswith(f"{HEAD}/") for name in initial):
            # Its convolutions may know the photos, so that it would be calibrated as too sure.
            fitted = replace(fitted, calibration=None, figures={})
    else:
        fitted = train_layers(session, setup, weights, start)
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
