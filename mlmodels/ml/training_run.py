"""The steps of one training, with its clock, its progress and its history."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np

from mlmodels.ml.calibration import fit_temperature, negative_log_likelihood
from mlmodels.ml.dataset import Dataset, LabelledPhoto
from mlmodels.ml.features import FeatureCache, extract_features
from mlmodels.ml.head import fit_head
from mlmodels.ml.layers import feature_shape
from mlmodels.ml.network import get_weights
from mlmodels.ml.optimisation import Optimiser, predict
from mlmodels.ml.training_types import EpochRecord, Progress, TrainingParameters, TrainingStopped

FEATURES_SHARE = 0.45
"""The share of the time budget after which no more views are computed."""
FEATURE_BYTES = 4_000_000_000
"""Fewer views are used where the features would take more than this on disk."""


@dataclass(frozen=True)
class Candidate:
    epoch: int
    weights: dict[str, np.ndarray]
    logits: np.ndarray
    nll: float
    """After the temperature that suits these logits best: what counts is the ranking."""


class TrainingRun:
    """The state of one call of `train`."""

    def __init__(
        self,
        dataset: Dataset,
        parameters: TrainingParameters,
        progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self.dataset = dataset
        self.parameters = parameters
        self.history: list[EpochRecord] = []
        self.out_of_time = False
        self.validation_labels = np.array([photo.label for photo in dataset.validation])
        self._progress = progress
        self._should_stop = should_stop
        self._clock = clock
        self._start = clock()
        self._fraction = 0.0
        self._rng = np.random.default_rng(parameters.seed)

    def elapsed(self) -> float:
        return self._clock() - self._start

    def budget_used(self) -> float:
        """The share of the time budget that is behind us, 0 to more than 1."""
        return self.elapsed() / (60 * self.parameters.minutes)

    def report(
        self, stage: str, fraction: float, epoch: int = 0, record: EpochRecord | None = None
    ) -> None:
        if self._should_stop():
            raise TrainingStopped(f"The training was stopped after {self.elapsed():.0f} s.")
        self._fraction = fraction = max(self._fraction, fraction)
        elapsed = self.elapsed()
        eta = elapsed * (1 - fraction) / fraction if fraction > 0.02 else None
        self._progress(Progress(stage, fraction, epoch, self.parameters.epochs, eta, record))

    def extract(self, cache: FeatureCache, cut: int) -> int:
        """Compute the features, view by view; returns how many views there are of each photo."""
        training, validation = self.dataset.training, self.dataset.validation
        size = int(np.prod(feature_shape(cut, self.parameters.input_size))) * (2 if cut else 1)
        room = max(1, FEATURE_BYTES // (size * len(training)))
        views = min(self.parameters.views, room)
        pairs = [(photo, 0) for photo in (*validation, *training)]
        plain = len(pairs)
        pairs += [(photo, view) for view in range(1, views) for photo in training]
        done = extract_features(
            cache,
            pairs,
            threads=os.cpu_count() or 1,
            progress=lambda done, total: self.report("features", 0.5 * done / total),
            enough=lambda done: done >= plain and self.budget_used() > FEATURES_SHARE,
        )
        return 1 + max(0, done - plain) // len(training)

    def fit_head(self, tail: keras.Model, cache: FeatureCache, views: int) -> dict[str, np.ndarray]:
        """Standardisation and dense layer, fitted to the embeddings of the first `views` views."""
        pairs = [(photo.sha256, view) for view in range(views) for photo in self.dataset.training]

        def load(start: int, stop: int) -> np.ndarray:
            self.report("head", 0.5 + 0.05 * start / len(pairs))
            return cache.load(pairs[start:stop])

        embeddings = predict(tail, load, len(pairs), self.parameters.batch_size)["embedding"]
        labels = np.array([photo.label for photo in self.dataset.training] * views)
        return fit_head(
            embeddings, labels, len(self.dataset.labels), self.parameters.head_regularisation
        )

    def fit_layers(self, tail: keras.Model, cache: FeatureCache, views: int) -> Candidate:
        """Train the tail; returns the weights that were best on the validation photos."""
        parameters = self.parameters
        photos = self.dataset.training
        steps = -(-len(photos) // parameters.batch_size) * parameters.epochs
        optimiser = Optimiser(
            tail,
            learning_rate=parameters.learning_rate,
            weight_decay=parameters.weight_decay,
            label_smoothing=parameters.label_smoothing,
            averaging=parameters.averaging,
        )
        best = self._measure(tail, cache, optimiser, 0, None)
        step = 0
        begun = self.budget_used()
        for epoch in range(1, parameters.epochs + 1):
            losses = []
            for batch in self._batches():
                # Where the time will not suffice, the clock and not the plan drives the rate down.
                done = max(step / steps, (self.budget_used() - begun) / max(1 - begun, 1e-9))
                if done >= 1:
                    self.out_of_time = True
                    break
                losses.append(self._train_on(optimiser, cache, batch, views, done))
                step += 1
                self.report("layers", 0.55 + 0.43 * done, epoch)
            if losses:
                candidate = self._measure(tail, cache, optimiser, epoch, float(np.mean(losses)))
                if candidate.nll <= best.nll:
                    best = candidate
            if self.out_of_time:
                break
        return best

    def _batches(self) -> Iterator[list[LabelledPhoto]]:
        order = self._rng.permutation(len(self.dataset.training))
        for start in range(0, len(order), self.parameters.batch_size):
            yield [
                self.dataset.training[i] for i in order[start : start + self.parameters.batch_size]
            ]

    def _train_on(
        self,
        optimiser: Optimiser,
        cache: FeatureCache,
        batch: list[LabelledPhoto],
        views: int,
        done: float,
    ) -> float:
        chosen = self._rng.integers(0, views, size=len(batch))
        features = cache.load(
            [(photo.sha256, int(view)) for photo, view in zip(batch, chosen, strict=True)]
        )
        targets = np.eye(len(self.dataset.labels), dtype=np.float32)[[p.label for p in batch]]
        mixup = self.parameters.mixup
        mix = float(self._rng.beta(mixup, mixup)) if mixup > 0 else 1.0
        return optimiser.step(features, targets, self._rng.permutation(len(batch)), mix, done)

    def _measure(
        self,
        tail: keras.Model,
        cache: FeatureCache,
        optimiser: Optimiser,
        epoch: int,
        loss: float | None,
    ) -> Candidate:
        """The averaged weights, measured on the validation photos and written to the history."""
        photos = [(photo.sha256, 0) for photo in self.dataset.validation]
        with optimiser.averaged():
            weights = get_weights(tail)
            logits = predict(
                tail,
                lambda start, stop: cache.load(photos[start:stop]),
                len(photos),
                self.parameters.batch_size,
            )["logits"]
        temperature = fit_temperature(logits, self.validation_labels)
        nll = negative_log_likelihood(logits, self.validation_labels, temperature)
        accuracy = float((logits.argmax(axis=1) == self.validation_labels).mean())
        record = EpochRecord(epoch, loss, accuracy, nll, self.elapsed())
        self.history.append(record)
        self.report("layers", 0.55 + 0.43 * min(1.0, epoch / self.parameters.epochs), epoch, record)
        return Candidate(epoch, weights, logits, nll)
