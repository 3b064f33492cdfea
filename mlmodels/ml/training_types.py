"""What goes into a training, what it tells on the way, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlmodels.ml.metrics import EvaluationMetrics


@dataclass(frozen=True)
class TrainingParameters:
    """How to train. The defaults are the recipe of the model that comes with ChampiPy."""

    input_size: int = 224
    variables: int = 4
    """How many layers that have weights are trained, counted from the output: 1 to 14."""
    epochs: int = 12
    views: int = 6
    """Views of each training photo, the photo itself included."""
    batch_size: int = 32
    learning_rate: float = 1e-4
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    mixup: float = 0.4
    """The parameter of the beta distribution that mixup draws from; 0 is no mixup."""
    dropout: float = 0.2
    """The share of the pooled features that a step leaves out."""
    averaging: float = 0.98
    """What remains of the weights' average after each step."""
    head_views: int = 2
    """Views from which the head is fitted before the other layers are trained."""
    head_regularisation: float = 0.001
    """C of the logistic regression that fits the head (smaller is stronger)."""
    seed: int = 0
    minutes: float = 30.0
    """The time budget. When it runs short the rate falls sooner and the best weights are kept."""


@dataclass(frozen=True)
class EpochRecord:
    """One pass, measured on the validation photos; epoch 0 is before the first."""

    epoch: int
    loss: float | None
    """Mean training loss in nats, on mixed and smoothed targets."""
    accuracy: float
    """Of the averaged weights, on the validation photos, 0 to 1."""
    nll: float
    """The same, negative log-likelihood in nats, at the temperature that suits it best."""
    seconds: float
    """Since the training began."""


@dataclass(frozen=True)
class Progress:
    """Where a training is. `record` is there once for each finished epoch."""

    stage: str
    """"features", "head", "layers", "refit" or "calibration"."""
    fraction: float
    """Of the whole training, 0 to 1."""
    epoch: int = 0
    epochs: int = 0
    eta_seconds: float | None = None
    record: EpochRecord | None = None


@dataclass(frozen=True)
class TrainedNetwork:
    """What a training made: everything that a model version is written from."""

    labels: tuple[str, ...]
    parameters: TrainingParameters
    weights: dict[str, np.ndarray]
    """All tensors, float32: the backbone's (some of them trained) and the head's."""
    changed_layers: tuple[str, ...]
    """Layers whose weights are not ImageNet's, in the order of the network."""
    temperature: float
    temperature_ratio: float
    """By how much it is not the one that suits the validation photos best, because those are harder
    (below 1) or easier than the training photos."""
    validation: EvaluationMetrics
    """At that temperature, on the validation photos."""
    validation_logits: np.ndarray
    """Float32 [n, k], in the order of the dataset's validation photos."""
    history: tuple[EpochRecord, ...]
    best_epoch: int
    refitted: bool
    """Whether the weights are those of a second training, on the validation photos as well. The
    figures of `validation` and the temperature are always those of the first."""
    views: int
    """Views that were used: fewer than asked for where time or room was short."""
    out_of_time: bool
    seconds: float


class TrainingStopped(Exception):  # noqa: N818 - not an error: somebody asked for it
    """`should_stop` said so."""
