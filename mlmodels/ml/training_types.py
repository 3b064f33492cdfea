"""Parameters, progress and result of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlmodels.ml.answers import AnswerCalibration
from mlmodels.ml.layers import DEFAULT_POOLING, Pooling
from mlmodels.ml.metrics import EvaluationMetrics


@dataclass(frozen=True)
class TrainingParameters:
    """How to train. The defaults are those of the model that comes with ChampiPy."""

    input_size: int = 224
    """Pixels on each side of the input."""
    pooling: Pooling = DEFAULT_POOLING
    variables: int = 1
    """Number of trained layers with weights, counted from the output: 1 to 14. With 1, the head is
    fitted in closed form: there are no epochs, and all that follows them plays no part."""
    epochs: int = 8
    views: int = 2
    """Views of each photo to train on, including the photo itself."""
    batch_size: int = 32
    learning_rate: float = 1e-4
    """The maximum of the learning rate's schedule."""
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    mixup: float = 0.4
    """Parameter of the beta distribution that mixup draws from; 0 turns mixup off."""
    dropout: float = 0.2
    """Share of the embedding that each step drops."""
    averaging: float = 0.98
    """Share of the average of the weights that each step keeps."""
    head_regularisation: float = 3e-4
    """Penalty of the ridge regression that fits the head, for each photo; larger is stronger."""
    seed: int = 0
    minutes: float = 30.0
    """Time budget. If it is short, the learning rate falls sooner and the best weights are kept."""


@dataclass(frozen=True)
class StartingPoint:
    """An earlier version from which the training continues."""

    weights: Mapping[str, np.ndarray]
    """Its head and changed layers (`Artifact.load_weights`), float32. The caller must ensure that
    they are for the same labels in the same order."""
    temperature: float
    """Its temperature, kept where the validation photos can't be used to fit another."""


@dataclass(frozen=True)
class EpochRecord:
    """An epoch, measured on the validation photos; epoch 0 is before the training."""

    epoch: int
    loss: float | None
    """Mean training loss in nats, on mixed and smoothed targets; None for epoch 0."""
    accuracy: float
    """Accuracy of the averaged weights on the validation photos, 0 to 1."""
    nll: float
    """Negative log-likelihood of the same weights and photos, in nats, at the best temperature."""
    seconds: float
    """Time since the training began."""


@dataclass(frozen=True)
class Progress:
    """The progress of a training."""

    stage: str
    """"features", "head", "layers", "refit", "calibration" or "search"; of a run also "export",
    "evaluation", "parity" and "registration"."""
    fraction: float
    """Completed share of the whole training, 0 to 1."""
    epoch: int = 0
    """The current epoch, from 1; 0 outside of the epochs."""
    epochs: int = 0
    eta_seconds: float | None = None
    """Estimated remaining time; None while it is unknown."""
    record: EpochRecord | None = None
    """Set in one report for each measured epoch."""


@dataclass(frozen=True)
class TrainedNetwork:
    """The result of a training, from which a model version is written."""

    labels: tuple[str, ...]
    parameters: TrainingParameters
    weights: dict[str, np.ndarray]
    """All tensors of the network by name, float32: convolutions and head, trained or not."""
    stem: Path | None
    """The LiteRT file of all convolutions if none was trained: it can serve as the engine."""
    changed_layers: tuple[str, ...]
    """Layers whose weights are not ImageNet's, in the order of the network."""
    temperature: float
    """The logits are divided by it before the softmax."""
    calibration: AnswerCalibration | None
    """From photos that the network was not trained on; None where there are none."""
    figures: dict[str, Any]
    """What `answer_calibration.measure` found on the same photos; empty where there are none."""
    other_photos: int
    """Photos of other species that the head has learnt from; 0: it has no output for them."""
    temperature_ratio: float
    """Factor applied to the validation temperature; below 1 when validation photos are harder."""
    validation: EvaluationMetrics
    """Metrics on the validation photos, at `temperature`."""
    validation_logits: np.ndarray
    """Float32 [n, k], in the order of the dataset's validation photos, without the output of other
    species."""
    history: tuple[EpochRecord, ...]
    best_epoch: int
    """Epoch of the first training whose weights were chosen; 0 is before the training."""
    refitted: bool
    """Whether the weights are those of a second training, which includes the validation photos. The
    temperature and the metrics of `validation` are always those of the first."""
    views: int
    """Views of each photo that were used; fewer than requested if time or disk space was short."""
    out_of_time: bool
    """Whether the first training was shortened by the time budget."""
    seconds: float
    """Duration of the training."""


class TrainingStopped(Exception):  # noqa: N818 - not an error: the stop was requested
    """The training was stopped because `should_stop` returned True."""
