"""One training's time budget, progress, features and fits of the head in closed form."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from mlmodels.ml.answers import AnswerCalibration
from mlmodels.ml.calibration import fit_temperature, negative_log_likelihood, temperature_ratio
from mlmodels.ml.dataset import Dataset, LabelledPhoto
from mlmodels.ml.features import AnyPhoto, FeatureCache, Features, extract_features
from mlmodels.ml.head import OutOfFold, fit_head, out_of_fold
from mlmodels.ml.optimisation import predict
from mlmodels.ml.training_types import EpochRecord, Progress, TrainingParameters, TrainingStopped

FEATURES_SHARE = 0.45
"""Share of the time budget after which no further view of the labelled photos is computed."""
COPIES_SHARE = 0.6
"""Share of the time budget after which no further copies of photos are computed."""
LAYERS_BEGIN = 0.45
"""Progress when all features are computed, where layers are trained."""
HEAD_ALONE_BEGIN = 0.9
"""The same where only the head is trained: little is left then."""
MAX_FEATURE_BYTES = 4_000_000_000
"""Disk space for the features; fewer views and copies are used where they would need more."""


@dataclass(frozen=True)
class TrainingSetup:
    """The layers to train and the features to train them on."""

    tail: keras.Model
    """The layers after the cut (`network.build_tail`)."""
    cache: FeatureCache
    views: int
    """Views of each photo that are in the cache."""


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


@dataclass(frozen=True)
class Fitted:
    """What a training of the head, or of more layers, returns."""

    weights: dict[str, np.ndarray]
    """The trained tensors and the whole head, float32, by name."""
    best: Candidate
    """As measured on the validation photos."""
    temperature: float
    calibration: AnswerCalibration | None
    figures: dict[str, Any]
    temperature_ratio: float = 1.0
    refitted: bool = True
    other_photos: int = 0
    """Photos of other species that the head has learnt from."""


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
        self._stage = ("", 0.0, 0.0)  # its name, and the fraction and the seconds at its beginning
        self._head_begin = LAYERS_BEGIN if parameters.variables > 1 else HEAD_ALONE_BEGIN
        self._feature_bytes = 0

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
        self._feature_bytes += done * cache.photo_bytes
        return done // len(photos)

    def extract_copies(self, cache: FeatureCache, copies: Sequence[tuple[AnyPhoto, int]]) -> int:
        """Compute the features of copies of photos, each with its view, in their order.

        Return how many there are. They are fewer where time or disk space do not suffice.
        """
        room = (MAX_FEATURE_BYTES - self._feature_bytes) // cache.photo_bytes
        done = extract_features(
            cache,
            copies[: max(0, room)],
            threads=os.cpu_count() or 1,
            progress=lambda _done, _total: self.report("features", self._head_begin),
            should_stop=lambda _done: self.budget_used() > COPIES_SHARE,
        )
        self._feature_bytes += done * cache.photo_bytes
        return done

    def outputs(
        self, setup: TrainingSetup, photos: Sequence[tuple[AnyPhoto, int]]
    ) -> dict[str, np.ndarray]:
        """Return ``embedding``, float32 [n, d], of the photos' views, and maybe ``logits`` [n, k].

        Where the cache does not have the embeddings, both are computed with the tail's current
        weights; else there are no logits.
        """
        pairs = [(photo.sha256, view) for photo, view in photos]

        def load(start: int, stop: int) -> Features:
            self.report("head", self._head_begin)
            return setup.cache.load(pairs[start:stop])

        if setup.cache.has_maps:
            return predict(setup.tail, load, len(pairs), self.parameters.batch_size)
        return {"embedding": load(0, len(pairs))["pooled"].astype(np.float32)}

    def embeddings(
        self, setup: TrainingSetup, photos: Sequence[AnyPhoto], views: int
    ) -> np.ndarray:
        """Return the embeddings, float32 [views, n, d], of the photos' first views (`outputs`)."""
        pairs = [(photo, view) for view in range(views) for photo in photos]
        return self.outputs(setup, pairs)["embedding"].reshape(views, len(photos), -1)

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
        return self.measure(0, logits, stage="head", fraction=self._head_begin)

    def measure(
        self,
        epoch: int,
        logits: np.ndarray,
        *,
        stage: str,
        fraction: float,
        weights: dict[str, np.ndarray] | None = None,
        loss: float | None = None,
    ) -> Candidate:
        """Add an epoch's validation `logits` [n, k] to the history, report and return them."""
        temperature = fit_temperature(logits, self.validation_labels)
        nll = negative_log_likelihood(logits, self.validation_labels, temperature)
        accuracy = float((logits.argmax(axis=1) == self.validation_labels).mean())
        record = EpochRecord(epoch, loss, accuracy, nll, self.elapsed())
        self.history.append(record)
        self.report(stage, fraction, epoch, record)
        return Candidate(epoch, weights or {}, logits, accuracy)
