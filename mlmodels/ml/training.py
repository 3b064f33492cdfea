"""Training of a calibrated network from photos and the weights of ImageNet or an earlier version.

The features at the cut are computed once (`features`). The head is first fitted by logistic
regression (`head`); then the chosen layers are trained together (`optimisation`) and measured on
the validation photos. The temperature is fitted to these (`calibration`) and corrected for how much
harder they are than all photos, as measured with heads that were not fitted to the photos they
score. If there is time, the layers are trained again in the same way with the validation photos
included (a quarter more photos at a split of 80/20). This module does not know where photos or
weights come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from mlmodels.ml.calibration import fit_temperature
from mlmodels.ml.dataset import Dataset
from mlmodels.ml.features import CACHE_BYTES, FeatureCache, open_cache, prune_cache
from mlmodels.ml.head import blank_head
from mlmodels.ml.layers import CONVOLUTIONS, HEAD, frozen_convolutions, trained_layers
from mlmodels.ml.metrics import evaluate
from mlmodels.ml.network import build_tail, set_weights
from mlmodels.ml.optimisation import supports_bfloat16
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
    weights = {**backbone, **initial}
    setup = prepare(session, weights, cache_dir, cut)
    prune_cache(cache_dir, setup.cache, dataset.photos, max_cache_bytes)
    head, ratio = {}, 1.0
    if not initial:
        embeddings = session.embeddings(setup.tail, setup.cache, setup.views)
        head, ratio = session.fit_head(embeddings), session.temperature_ratio(embeddings)
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
        temperature = start.temperature
    else:
        temperature = ratio * fit_temperature(best.logits, session.validation_labels)
    changed = {name.split("/")[0] for name in initial} | set(trained_layers(parameters.variables))
    return TrainedNetwork(
        labels=dataset.labels,
        parameters=parameters,
        weights={**weights, **trained},
        changed_layers=tuple(
            name for name in (*(layer.name for layer in CONVOLUTIONS), HEAD) if name in changed
        ),
        temperature=temperature,
        temperature_ratio=ratio,
        validation=evaluate(best.logits, session.validation_labels, dataset.labels, temperature),
        validation_logits=best.logits,
        history=tuple(session.history),
        best_epoch=best.epoch,
        refitted=refitted,
        views=setup.views,
        out_of_time=session.out_of_time,
        seconds=session.elapsed(),
    )


@dataclass(frozen=True)
class TrainingSetup:
    """The layers to train and the features to train them on."""

    tail: keras.Model
    """The layers after the cut (`network.build_tail`)."""
    cache: FeatureCache
    views: int
    """Views of each photo that are in the cache."""


def prepare(
    session: TrainingSession, weights: Mapping[str, np.ndarray], cache_dir: Path, cut: int | None
) -> TrainingSetup:
    """Return the layers after the cut and their features, computing those not cached yet.

    The layers have the values in `weights`; without a head there, all weights of the head are 0.
    `cut` None stands for the number of frozen convolutions. This seeds TensorFlow, NumPy and
    Python, and switches TensorFlow to deterministic operations, for the whole process.
    """
    parameters, dataset = session.parameters, session.dataset
    frozen = frozen_convolutions(parameters.variables)
    cut = frozen if cut is None else cut
    keras.utils.set_random_seed(parameters.seed)
    tf.config.experimental.enable_op_determinism()
    cache = open_cache(
        cache_dir, weights, dataset.training, cut=cut, input_size=parameters.input_size
    )
    views = session.extract(cache, cut)
    in_bfloat16 = supports_bfloat16()
    tail = build_tail(
        cut,
        parameters.input_size,
        len(dataset.labels),
        dtype="mixed_bfloat16" if in_bfloat16 else "float32",
        frozen=frozen,
        dropout=parameters.dropout,
        seed=parameters.seed,
        winograd=not in_bfloat16,
    )
    set_weights(tail, {**blank_head(len(dataset.labels)), **weights})
    return TrainingSetup(tail, cache, views)
