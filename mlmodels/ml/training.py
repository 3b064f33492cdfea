"""Training: from photos and ImageNet's (or an earlier version's) weights to a calibrated network.

The features below the cut are computed once (`features`), the head is fitted first by logistic
regression (`head`), then the chosen layers are trained together (`optimisation`) and measured on
the validation photos. The temperature is fitted to those (`calibration`), and corrected for how
much harder they are than the others for heads that saw neither. Where there is time, the layers are
trained once more in the same way, on the validation photos too: a fifth more photos. Nothing here
knows where photos or weights come from.
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
from mlmodels.ml.features import FeatureCache, open_cache, prune_cache
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
    """An earlier version, to go on from."""

    weights: Mapping[str, np.ndarray]
    """Its head and changed layers (`artifact.load_weights`), for the same labels in the same order,
    which is the caller's to see to."""
    temperature: float


def train(
    dataset: Dataset,
    parameters: TrainingParameters,
    *,
    backbone: Mapping[str, np.ndarray],
    cache_dir: Path,
    start: StartingPoint | None = None,
    cut: int | None = None,
    progress: Callable[[Progress], None],
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> TrainedNetwork:
    """Train the top `parameters.variables` layers on `dataset`.

    `backbone`: ImageNet's tensors (`backbone.load_backbone`), which `start` replaces some of.
    Features are cached under `cache_dir`, some gigabytes; `cut` says from how many convolutions:
    as many as stay frozen unless told fewer, where others already cached those.

    `progress` is called several times a minute, from this thread. `should_stop` is asked as often;
    when it answers True the training raises `TrainingStopped`. When the time budget
    (`parameters.minutes`, by `clock`, in seconds) ends, the best weights so far are the result.
    Raises `preprocessing.PhotoError` for a photo that can't be decoded, `ValueError` for weights
    that do not fit.

    The same arguments give the same result on the same machine but for rounding (threads add
    floats up in no fixed order), as long as the budget is not reached and `cache_dir` holds the
    same stem. TensorFlow is switched to deterministic operations in the whole process.
    """
    session = TrainingSession(dataset, parameters, progress, should_stop, clock)
    initial = start.weights if start else {}
    weights = {**backbone, **initial}
    setup = prepare(session, weights, cache_dir, cut)
    head, ratio = {}, 1.0
    if not initial:
        embeddings = session.embeddings(setup.tail, setup.cache, setup.views)
        head, ratio = session.fit_head(embeddings), session.temperature_ratio(embeddings)
    set_weights(setup.tail, {**weights, **head})
    measures = dataset.validation_is_new
    best = session.fit_layers(
        setup.tail, setup.cache, setup.views, measures=measures, refits=measures
    )
    trained, refitted = best.weights, False
    if measures and best.epoch and session.has_time_to_refit(best.epoch):
        set_weights(setup.tail, {**weights, **head})
        again = session.refit_layers(setup.tail, setup.cache, setup.views, best.epoch)
        if again is not None:
            trained, refitted = again, True

    session.report("calibration", 0.99)
    if start and not measures:
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
    """What is trained, and the features that it is trained on."""

    tail: keras.Model
    cache: FeatureCache
    views: int


def prepare(
    session: TrainingSession, weights: Mapping[str, np.ndarray], cache_dir: Path, cut: int | None
) -> TrainingSetup:
    """Compute the features that are not cached yet, and build the layers above the cut.

    They have the backbone's weights and those of the head in `weights`, or else a blank head.
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
    prune_cache(cache_dir, cache)
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
