"""The steps of one training, with its time budget, progress and history."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from mlmodels.ml.calibration import fit_temperature, negative_log_likelihood, temperature_ratio
from mlmodels.ml.dataset import Dataset, LabelledPhoto
from mlmodels.ml.features import AnyPhoto, FeatureCache, Features, extract_features
from mlmodels.ml.head import OutOfFold, fit_head, out_of_fold
from mlmodels.ml.network import get_weights
from mlmodels.ml.optimisation import Optimiser, predict
from mlmodels.ml.training_types import EpochRecord, Progress, TrainingParameters, TrainingStopped

FEATURES_SHARE = 0.45
"""Share of the time budget after which no further view is computed."""
LAYERS_BEGIN, LAYERS_SHARE = 0.45, 0.25
"""Begin and length of the first training, as shares of the whole in the reported progress."""
HEAD_ALONE_BEGIN = 0.9
"""Progress when all features are computed, where only the head is trained: little is left then."""
REFIT_BEGIN, REFIT_SHARE = 0.70, 0.29
"""Begin and length of the second training, on all photos, in the reported progress."""
FIRST_TRAINING_SHARE = 0.85
"""Share of its part of the remaining time that the first training may use.

The remaining time is divided between both trainings in proportion to their photos. What the first
may not use is a reserve for the second.
"""
MAX_FEATURE_BYTES = 4_000_000_000
"""Disk space for the features; fewer views are used where they would need more."""


@dataclass(frozen=True)
class Candidate:
    """The network after an epoch, measured on the validation photos."""

    epoch: int
    weights: dict[str, np.ndarray]
    """Averaged tensors of the tail, float32, by name."""
    logits: np.ndarray
    """Float32 [n, k], of the validation photos."""
    accuracy: float
    """From 0 to 1, on the validation photos."""


class TrainingSession:
    """The state of one call of `training.train`."""

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
        self._done_after: list[float] = []  # share of the training completed after each epoch
        self._stage = ("", 0.0, 0.0)  # its name, and the fraction and the seconds at its beginning
        self._layers_share = LAYERS_SHARE
        self._head_begin = LAYERS_BEGIN if parameters.variables > 1 else HEAD_ALONE_BEGIN
        self._rng = np.random.default_rng(parameters.seed)
        # Duration of an epoch on all photos, relative to one on the training photos.
        self._refit_factor = 1 + len(dataset.validation) / len(dataset.training)

    def elapsed(self) -> float:
        """Return the seconds since the training began."""
        return self._clock() - self._start

    def budget_used(self) -> float:
        """Return the used share of the time budget, from 0; above 1 when it is exceeded."""
        return self.elapsed() / (60 * self.parameters.minutes)

    def report(
        self, stage: str, fraction: float, epoch: int = 0, record: EpochRecord | None = None
    ) -> None:
        """Report the progress: `fraction`, 0 to 1, is the completed share of the whole training.

        The reported fraction never falls. Raises `TrainingStopped` if a stop was requested.
        """
        if self._should_stop():
            raise TrainingStopped(f"The training was stopped after {self.elapsed():.0f} s.")
        self._fraction = fraction = max(self._fraction, fraction)
        elapsed = self.elapsed()
        if stage != self._stage[0]:
            self._stage = (stage, fraction, elapsed)
        # Only this stage's pace counts: with cached features, the stage before took no time.
        _, stage_fraction, stage_start = self._stage
        advance = fraction - stage_fraction
        eta = (elapsed - stage_start) * (1 - fraction) / advance if advance > 0.01 else None
        if eta is not None:  # the training ends with the budget at the latest
            eta = min(eta, max(0.0, 60 * self.parameters.minutes - elapsed))
        self._progress(Progress(stage, fraction, epoch, self.parameters.epochs, eta, record))

    def extract(self, cache: FeatureCache) -> int:
        """Compute the features view by view and return the number of views of each labelled photo.

        There are fewer than `parameters.views` where time or disk space do not suffice.
        """
        photos = self.dataset.photos
        max_views = max(1, MAX_FEATURE_BYTES // (cache.photo_bytes * len(photos)))
        views = min(self.parameters.views, max_views)
        pairs = [(photo, view) for view in range(views) for photo in photos]
        done = extract_features(
            cache,
            pairs,
            threads=os.cpu_count() or 1,
            progress=lambda done, total: self.report("features", self._head_begin * done / total),
            should_stop=lambda done: done >= len(photos) and self.budget_used() > FEATURES_SHARE,
        )
        return done // len(photos)

    def extract_copies(self, cache: FeatureCache, copies: Sequence[AnyPhoto], views: int) -> None:
        """Compute the features of `views` views of copies of photos, which are few."""
        extract_features(
            cache,
            [(copy, view) for view in range(views) for copy in copies],
            threads=os.cpu_count() or 1,
            progress=lambda _done, _total: self.report("features", self._head_begin),
            should_stop=lambda _done: False,
        )

    def embeddings(
        self, tail: keras.Model, cache: FeatureCache, photos: Sequence[AnyPhoto], views: int
    ) -> np.ndarray:
        """Return the embeddings, float32 [views, n, d], of the photos' first views.

        They are computed with the tail's current weights where the cache does not have them.
        """
        pairs = [(photo.sha256, view) for view in range(views) for photo in photos]

        def load(start: int, stop: int) -> Features:
            self.report("head", self._head_begin)
            return cache.load(pairs[start:stop])

        if cache.has_maps:
            flat = predict(tail, load, len(pairs), self.parameters.batch_size)["embedding"]
        else:
            flat = load(0, len(pairs))["pooled"].astype(np.float32)
        return flat.reshape(views, len(photos), -1)

    def fit_head(
        self, embeddings: np.ndarray, photos: Sequence[LabelledPhoto], others: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Return the head's tensors, float32, fitted to the first `photos` of `embeddings`.

        `embeddings` [views, n, d]; `others` [copies, m, d] of other species, or None.
        """
        self.report("head", self._head_begin)
        return fit_head(
            embeddings[:, : len(photos)].reshape(-1, embeddings.shape[-1]),
            np.array([photo.label for photo in photos] * len(embeddings)),
            len(self.dataset.labels),
            regularisation=self.parameters.head_regularisation,
            pooling=self.parameters.pooling,
            others=None if others is None else others.reshape(-1, others.shape[-1]),
        )

    def out_of_fold(
        self,
        embeddings: np.ndarray,
        others: np.ndarray | None = None,
        other_groups: Sequence[str] = (),
    ) -> OutOfFold:
        """Return the outputs for all photos by heads that were fitted without their finds.

        The arguments are those of `fit_head`, with a group for each of the others.
        """
        self.report("calibration", self._head_begin)
        photos = self.dataset.photos
        return out_of_fold(
            embeddings,
            np.array([photo.label for photo in photos]),
            [photo.group for photo in photos],
            regularisation=self.parameters.head_regularisation,
            pooling=self.parameters.pooling,
            others=others,
            other_groups=other_groups,
        )

    def temperatures(self, logits: np.ndarray) -> tuple[float, float]:
        """Return the temperature of out-of-fold logits [n, k], and its ratio to the validation's.

        The ratio is the temperature of all photos divided by that of the validation photos. Returns
        1 and 1 where a species has too few finds for such logits.
        """
        if not np.isfinite(logits).all():
            return 1.0, 1.0
        labels = np.array([photo.label for photo in self.dataset.photos])
        is_validation = np.arange(len(labels)) >= len(self.dataset.training)
        return fit_temperature(logits, labels), temperature_ratio(logits, labels, is_validation)

    def measure_head(self, logits: np.ndarray) -> Candidate:
        """Add a fitted head's validation `logits` [n, k] to the history as epoch 0."""
        return self._candidate({}, logits, 0, None, stage="head")

    def fit_layers(
        self,
        tail: keras.Model,
        cache: FeatureCache,
        views: int,
        *,
        choose_best: bool = True,
        will_refit: bool = True,
    ) -> Candidate:
        """Train the tail and return its best epoch by the validation photos, or its last.

        `choose_best` False returns the last epoch, for validation photos that were trained on
        before. `will_refit` leaves the time that `refit_layers` needs.

        The best epoch is chosen by the one-standard-error rule (Breiman et al. 1984): the last one
        whose accuracy is within a standard error of the highest. A few hundred photos can't
        distinguish such epochs, so the single highest is mostly chance, and at the last one the
        lower learning rate has settled the weights.
        """
        parameters = self.parameters
        photos = self.dataset.training
        steps = -(-len(photos) // parameters.batch_size) * parameters.epochs
        optimiser = self._optimiser(tail)
        self._layers_share = LAYERS_SHARE if will_refit else LAYERS_SHARE + REFIT_SHARE
        best = self._measure(tail, cache, optimiser, 0, None)
        highest = best.accuracy
        step = 0
        used_before = self.budget_used()
        share = max(1 - used_before, 1e-9)
        if will_refit:
            share *= FIRST_TRAINING_SHARE / (1 + self._refit_factor)
        self._done_after = [0.0]
        for epoch in range(1, parameters.epochs + 1):
            losses = []
            for batch in self._batches(photos):
                # If time is short, the learning rate falls with the time, not with the steps.
                done = max(step / steps, (self.budget_used() - used_before) / share)
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
                is_best = candidate.accuracy >= highest - self._standard_error(highest)
                if is_best or not choose_best:
                    best = candidate
            if self.out_of_time:
                break
        return best

    def _standard_error(self, accuracy: float) -> float:
        return float(np.sqrt(accuracy * (1 - accuracy) / len(self.validation_labels)))

    def has_time_to_refit(self, epochs: int) -> bool:
        """Return whether `refit_layers` fits into the time budget, by the median epoch so far."""
        pace = float(np.median(np.diff([record.seconds for record in self.history])))
        needed = epochs * pace * self._refit_factor
        return 60 * self.parameters.minutes - self.elapsed() > needed

    def refit_layers(
        self, tail: keras.Model, cache: FeatureCache, views: int, epochs: int
    ) -> dict[str, np.ndarray] | None:
        """Train the tail on all photos and return the averaged weights after `epochs` epochs.

        No photos are left to measure the result, so the learning rate follows the schedule of the
        first training, which was measured. Returns None when the time budget ends before.
        """
        photos = self.dataset.photos
        per_epoch = -(-len(photos) // self.parameters.batch_size)
        optimiser = self._optimiser(tail)
        step = 0
        for epoch in range(1, epochs + 1):
            for batch in self._batches(photos):
                if self.budget_used() >= 1:
                    return None
                # The learning rate falls as it did in the first training.
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
        """Measure the averaged weights on the validation photos and add them to the history."""
        photos = [(photo.sha256, 0) for photo in self.dataset.validation]
        with optimiser.averaged():
            weights = get_weights(tail)
            logits = predict(
                tail,
                lambda start, stop: cache.load(photos[start:stop]),
                len(photos),
                self.parameters.batch_size,
            )["logits"]
        return self._candidate(weights, logits, epoch, loss)

    def _candidate(
        self,
        weights: dict[str, np.ndarray],
        logits: np.ndarray,
        epoch: int,
        loss: float | None,
        stage: str = "layers",
    ) -> Candidate:
        temperature = fit_temperature(logits, self.validation_labels)
        nll = negative_log_likelihood(logits, self.validation_labels, temperature)
        accuracy = float((logits.argmax(axis=1) == self.validation_labels).mean())
        record = EpochRecord(epoch, loss, accuracy, nll, self.elapsed())
        self.history.append(record)
        fraction = LAYERS_BEGIN + self._layers_share * min(1.0, epoch / self.parameters.epochs)
        self.report(stage, fraction, epoch, record)
        return Candidate(epoch, weights, logits, accuracy)
