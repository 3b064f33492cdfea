"""The steps of one training, with its clock, its progress and its history."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from mlmodels.ml.calibration import fit_temperature, negative_log_likelihood, temperature_ratio
from mlmodels.ml.dataset import Dataset, LabelledPhoto
from mlmodels.ml.features import FeatureCache, extract_features
from mlmodels.ml.head import fit_head, out_of_fold_logits
from mlmodels.ml.layers import feature_shape
from mlmodels.ml.network import get_weights
from mlmodels.ml.optimisation import Optimiser, predict
from mlmodels.ml.training_types import EpochRecord, Progress, TrainingParameters, TrainingStopped

FEATURES_SHARE = 0.45
"""The share of the time budget after which no more views are computed."""
LAYERS_BEGIN, LAYERS_SHARE = 0.45, 0.25
REFIT_BEGIN, REFIT_SHARE = 0.70, 0.29
"""Shares of a whole training, for the progress that is shown."""
FIRST_SHARE = 0.85
"""Of what the first training could take so that the second, on all photos, still fits, how much it
may take."""
FEATURE_BYTES = 4_000_000_000
"""Fewer views are used where the features would take more than this on disk."""


@dataclass(frozen=True)
class Candidate:
    epoch: int
    weights: dict[str, np.ndarray]
    logits: np.ndarray
    accuracy: float


class TrainingSession:
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
        self._done_after: list[float] = []  # the share of the training, at the end of each epoch
        self._stage = ("", 0.0, 0.0)  # name, fraction and seconds when it began
        self._layers_share = LAYERS_SHARE
        self._rng = np.random.default_rng(parameters.seed)
        # How much longer an epoch on all photos takes than one on those for training.
        self._refit_factor = 1 + len(dataset.validation) / len(dataset.training)

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
        if stage != self._stage[0]:
            self._stage = (stage, fraction, elapsed)
        # By the pace of this stage: with features that were cached, the one before took no time.
        _, began_at, since = self._stage
        gone = fraction - began_at
        eta = (elapsed - since) * (1 - fraction) / gone if gone > 0.01 else None
        if eta is not None:  # the budget ends it, whatever the pace
            eta = min(eta, max(0.0, 60 * self.parameters.minutes - elapsed))
        self._progress(Progress(stage, fraction, epoch, self.parameters.epochs, eta, record))

    def extract(self, cache: FeatureCache, cut: int) -> int:
        """Compute the features, view by view; returns how many views there are of each photo."""
        photos = self.dataset.photos
        size = int(np.prod(feature_shape(cut, self.parameters.input_size))) * (2 if cut else 1)
        room = max(1, FEATURE_BYTES // (size * len(photos)))
        # Each epoch takes one view of each photo: more views than epochs would be for nothing.
        useful = max(self.parameters.epochs, self.parameters.head_views)
        views = min(self.parameters.views, useful, room)
        pairs = [(photo, view) for view in range(views) for photo in photos]
        done = extract_features(
            cache,
            pairs,
            threads=os.cpu_count() or 1,
            progress=lambda done, total: self.report("features", LAYERS_BEGIN * done / total),
            enough=lambda done: done >= len(photos) and self.budget_used() > FEATURES_SHARE,
        )
        return done // len(photos)

    def embeddings(self, tail: keras.Model, cache: FeatureCache, views: int) -> np.ndarray:
        """The pooled features [views, n, 512] of all photos' first views, by the tail as it is.

        Those of the training photos come first, then those of the validation photos.
        """
        photos = self.dataset.photos
        views = min(views, self.parameters.head_views)
        pairs = [(photo.sha256, view) for view in range(views) for photo in photos]

        def load(start: int, stop: int) -> np.ndarray:
            self.report("head", LAYERS_BEGIN)
            return cache.load(pairs[start:stop])

        flat = predict(tail, load, len(pairs), self.parameters.batch_size)["embedding"]
        return flat.reshape(views, len(photos), -1)

    def fit_head(self, embeddings: np.ndarray) -> dict[str, np.ndarray]:
        """The dense layer, fitted to `embeddings` of the training photos."""
        photos = self.dataset.training
        seen = embeddings[:, : len(photos)]
        return fit_head(
            seen.reshape(-1, seen.shape[-1]),
            np.array([photo.label for photo in photos] * len(embeddings)),
            len(self.dataset.labels),
            self.parameters.head_regularisation,
        )

    def temperature_ratio(self, embeddings: np.ndarray) -> float:
        """How much lower the temperature of all photos is than that of the validation photos alone.

        As heads on `embeddings` see them, none of which was fitted to the photos that it scores.
        """
        photos = self.dataset.photos
        labels = np.array([photo.label for photo in photos])
        groups = [photo.group for photo in photos]
        logits = out_of_fold_logits(embeddings, labels, groups, self.parameters.head_regularisation)
        if not np.isfinite(logits).all():  # too few finds of some species to say
            return 1.0
        return temperature_ratio(
            logits, labels, np.arange(len(photos)) >= len(self.dataset.training)
        )

    def fit_layers(
        self,
        tail: keras.Model,
        cache: FeatureCache,
        views: int,
        *,
        measures: bool = True,
        refits: bool = True,
    ) -> Candidate:
        """Train the tail; returns the best weights by the validation photos.

        Where the validation photos are no measure (`measures` False), the last. `refits` leaves as
        much of the time as `refit_layers` takes.

        By the one-standard-error rule (Breiman et al. 1984): of the epochs whose accuracy is within
        a standard error of the highest, the last, which the falling rate has settled. A few hundred
        photos cannot tell such epochs apart, and the single highest is mostly luck.
        """
        parameters = self.parameters
        photos = self.dataset.training
        steps = -(-len(photos) // parameters.batch_size) * parameters.epochs
        optimiser = self._optimiser(tail)
        self._layers_share = LAYERS_SHARE if refits else LAYERS_SHARE + REFIT_SHARE
        best = self._measure(tail, cache, optimiser, 0, None)
        highest = best.accuracy
        step = 0
        begun = self.budget_used()
        share = max(1 - begun, 1e-9)
        if refits:
            share *= FIRST_SHARE / (1 + self._refit_factor)
        self._done_after = [0.0]
        for epoch in range(1, parameters.epochs + 1):
            losses = []
            for batch in self._batches(photos):
                # Where the time will not suffice, the clock and not the plan drives the rate down.
                done = max(step / steps, (self.budget_used() - begun) / share)
                if done >= 1:
                    self.out_of_time = True
                    break
                losses.append(self._train_on(optimiser, cache, batch, views, done))
                step += 1
                self.report("layers", LAYERS_BEGIN + self._layers_share * done, epoch)
            if losses:
                self._done_after.append(done)
                candidate = self._measure(tail, cache, optimiser, epoch, float(np.mean(losses)))
                highest = max(highest, candidate.accuracy)
                within = candidate.accuracy >= highest - self._standard_error(highest)
                if within or not measures:
                    best = candidate
            if self.out_of_time:
                break
        return best

    def _standard_error(self, accuracy: float) -> float:
        return float(np.sqrt(accuracy * (1 - accuracy) / len(self.validation_labels)))

    def has_time_to_refit(self, epochs: int) -> bool:
        """Whether `refit_layers` will be done in time, by the usual pace of the epochs so far."""
        pace = float(np.median(np.diff([record.seconds for record in self.history])))
        needed = epochs * pace * self._refit_factor
        return 60 * self.parameters.minutes - self.elapsed() > needed

    def refit_layers(
        self, tail: keras.Model, cache: FeatureCache, views: int, epochs: int
    ) -> dict[str, np.ndarray] | None:
        """Train the tail on the validation photos too, as before, up to the end of epoch `epochs`.

        There is nothing left to measure it by, so it repeats what has been measured. Returns the
        averaged weights, or None when the time budget ended first.
        """
        photos = self.dataset.photos
        per_epoch = -(-len(photos) // self.parameters.batch_size)
        optimiser = self._optimiser(tail)
        step = 0
        for epoch in range(1, epochs + 1):
            for batch in self._batches(photos):
                if self.budget_used() >= 1:
                    return None
                # The rate falls as it fell in the first training, by the plan or by the clock.
                done = np.interp(step / per_epoch, range(len(self._done_after)), self._done_after)
                self._train_on(optimiser, cache, batch, views, float(done))
                step += 1
                self.report("refit", REFIT_BEGIN + REFIT_SHARE * step / (per_epoch * epochs), epoch)
        with optimiser.averaged():
            return get_weights(tail)

    def _optimiser(self, tail: keras.Model) -> Optimiser:
        return Optimiser(
            tail,
            learning_rate=self.parameters.learning_rate,
            weight_decay=self.parameters.weight_decay,
            label_smoothing=self.parameters.label_smoothing,
            averaging=self.parameters.averaging,
        )

    def _batches(self, photos: Sequence[LabelledPhoto]) -> Iterator[list[LabelledPhoto]]:
        order = self._rng.permutation(len(photos))
        for start in range(0, len(order), self.parameters.batch_size):
            yield [photos[i] for i in order[start : start + self.parameters.batch_size]]

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
        fraction = LAYERS_BEGIN + self._layers_share * min(1.0, epoch / self.parameters.epochs)
        self.report("layers", fraction, epoch, record)
        return Candidate(epoch, weights, logits, accuracy)
