"""Training of several layers by gradient descent, from a fitted head or an earlier version.

The chosen layers are trained together (`optimisation`) and measured on the validation photos. The
temperature is fitted to these and corrected for how much harder they are than all photos, as
measured with heads that were not fitted to the photos they score. If there is time, the layers are
trained again in the same way with the validation photos included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mlmodels.ml.answer_calibration import calibrate
from mlmodels.ml.answer_measures import cross_measure
from mlmodels.ml.answers import AnswerCalibration
from mlmodels.ml.calibration import fit_temperature
from mlmodels.ml.dataset import LabelledPhoto
from mlmodels.ml.layers import HEAD
from mlmodels.ml.network import get_weights, set_weights
from mlmodels.ml.optimisation import Optimiser, predict
from mlmodels.ml.other_output import OtherOutput, add_output, extract_measurable_others
from mlmodels.ml.reference import group_text
from mlmodels.ml.training_session import (
    LAYERS_BEGIN,
    Candidate,
    Fitted,
    TrainingSession,
    TrainingSetup,
)
from mlmodels.ml.training_types import StartingPoint

LAYERS_SHARE = 0.25
"""Length of the first training, as a share of the whole in the reported progress."""
REFIT_BEGIN, REFIT_SHARE = 0.70, 0.29
"""Begin and length of the second training, on all photos, in the reported progress."""
FIRST_TRAINING_SHARE = 0.85
"""Share of its part of the remaining time that the first training may use.

The remaining time is divided between both trainings in proportion to their photos. What the first
may not use is a reserve for the second.
"""
MIN_CALIBRATED = 100
"""Validation photos from which a version with trained layers is calibrated; fewer are too few."""


def train_layers(
    session: TrainingSession,
    setup: TrainingSetup,
    weights: Mapping[str, np.ndarray],
    start: StartingPoint | None,
) -> Fitted:
    """Train the layers after the cut by gradient descent, from a fitted head or from `start`.

    Only new and enough validation photos calibrate the version. With them, the dataset's photos of
    other species give it an output for these (`other_output`); without such photos, scope is told
    by the best score.
    """
    dataset = session.dataset
    n_labels = len(dataset.labels)
    validation_is_new = dataset.validation_is_new
    can_calibrate = validation_is_new and len(dataset.validation) >= MIN_CALIBRATED
    others = extract_measurable_others(session, setup.cache) if can_calibrate else None
    ratio = 1.0
    if start is None:
        embeddings = session.embeddings(setup, dataset.photos, setup.views)
        logits = session.out_of_fold(embeddings).logits
        temperature, ratio = session.temperatures(logits)
        head = session.fit_head(embeddings, dataset.training, None)
    else:
        temperature, head = start.temperature, dict(start.weights)
    head = scaled_head(head, n_labels, temperature)
    set_weights(setup.tail, {**weights, **head})
    training = LayerTraining(session, setup, scored_later=others.n_scored if others else 0)
    best = training.fit(choose_best=validation_is_new, will_refit=validation_is_new)
    output: OtherOutput | None = None
    if others is not None:
        set_weights(setup.tail, {**weights, **head, **best.weights})
        output = others.fit(session, setup, {**head, **best.weights})
    trained, refitted = best.weights, False
    if validation_is_new and best.epoch and training.has_time_to_refit(best.epoch):
        set_weights(setup.tail, {**weights, **head})
        refitted_weights = training.refit(best.epoch)
        if refitted_weights is not None:
            trained, refitted = refitted_weights, True

    session.report("calibration", REFIT_BEGIN + REFIT_SHARE)
    if start and not validation_is_new:
        temperature = 1.0  # the head was scaled to it
    else:
        temperature = ratio * fit_temperature(best.logits, session.validation_labels)
    fitted_head = {**head, **trained}
    if output is not None and others is not None:
        column = output.column
        if refitted:
            set_weights(setup.tail, {**weights, **fitted_head})
            column = others.column(session, setup)
        fitted_head = add_output(fitted_head, column, output.temperature)
    calibration: AnswerCalibration | None = None
    figures: dict[str, Any] = {}
    if can_calibrate:
        arrays = _calibration_arrays(session, best, output)
        calibration = calibrate(*arrays, n_labels=n_labels, temperature=temperature)
        figures = cross_measure(*arrays, n_labels=n_labels, temperature=temperature)
    return Fitted(
        fitted_head, best, temperature, calibration, figures, ratio, refitted,
        other_photos=len(output.groups) if output else 0,
    )  # fmt: skip


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


def _calibration_arrays(
    session: TrainingSession, best: Candidate, output: OtherOutput | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return outputs, norms, labels and groups of the photos that calibrate the version."""
    labels = session.validation_labels
    groups = [photo.group for photo in session.dataset.validation]
    if output is None:
        return best.logits, np.zeros(len(labels)), labels, np.array(groups)
    n_labels = len(session.dataset.labels)
    return (
        np.concatenate([np.column_stack([best.logits, output.validation]), output.other_logits]),
        np.concatenate([output.validation_lognorms, output.other_lognorms]),
        np.concatenate([labels, np.full(len(output.groups), n_labels)]),
        np.array([*groups, *map(group_text, output.groups)]),
    )


class LayerTraining:
    """Trains the tail of `setup` in place, once or twice. Its weights must have been set.

    `scored_later`: photos that are scored after each training, for which time is left.
    """

    def __init__(
        self, session: TrainingSession, setup: TrainingSetup, scored_later: int = 0
    ) -> None:
        self._session = session
        self._parameters = session.parameters
        self._setup = setup
        self._scored_later = scored_later
        self._seconds_later = 0.0  # for scoring these photos
        self._done_after: list[float] = []  # share of the training completed after each epoch
        self._layers_share = LAYERS_SHARE
        self._rng = np.random.default_rng(self._parameters.seed)
        # Duration of an epoch on all photos, relative to one on the training photos.
        dataset = session.dataset
        self._refit_factor = 1 + len(dataset.validation) / len(dataset.training)

    def fit(self, *, choose_best: bool = True, will_refit: bool = True) -> Candidate:
        """Train the tail and return its best epoch by the validation photos, or its last.

        `choose_best` False returns the last epoch, for validation photos that were trained on
        before. `will_refit` leaves the time that `refit` needs.

        The best epoch is chosen by the one-standard-error rule (Breiman et al. 1984): the last one
        whose accuracy is within a standard error of the highest. A few hundred photos can't
        distinguish such epochs, so the single highest is mostly chance, and at the last one the
        lower learning rate has settled the weights.
        """
        session, parameters = self._session, self._parameters
        photos = session.dataset.training
        steps = -(-len(photos) // parameters.batch_size) * parameters.epochs
        optimiser = self._optimiser()
        self._layers_share = LAYERS_SHARE if will_refit else LAYERS_SHARE + REFIT_SHARE
        began = session.elapsed()
        best = self._measure(optimiser, 0, None)
        pace = (session.elapsed() - began) / len(session.validation_labels)
        self._seconds_later = pace * self._scored_later
        highest = best.accuracy
        step = 0
        used_before = session.budget_used()
        later = (1 + will_refit) * self._seconds_later / (60 * parameters.minutes)
        share = max(1 - used_before - later, 1e-9)
        if will_refit:
            share *= FIRST_TRAINING_SHARE / (1 + self._refit_factor)
        self._done_after = [0.0]
        for epoch in range(1, parameters.epochs + 1):
            losses = []
            for batch in self._batches(photos):
                # If time is short, the learning rate falls with the time, not with the steps.
                done = max(step / steps, (session.budget_used() - used_before) / share)
                if done >= 1:
                    session.out_of_time = True
                    break
                losses.append(self._train_on(optimiser, batch, done))
                step += 1
                session.report("layers", LAYERS_BEGIN + self._layers_share * done, epoch)
            if losses:
                self._done_after.append(done)
                candidate = self._measure(optimiser, epoch, float(np.mean(losses)))
                highest = max(highest, candidate.accuracy)
                is_best = candidate.accuracy >= highest - self._standard_error(highest)
                if is_best or not choose_best:
                    best = candidate
            if session.out_of_time:
                break
        return best

    def _standard_error(self, accuracy: float) -> float:
        return float(np.sqrt(accuracy * (1 - accuracy) / len(self._session.validation_labels)))

    def has_time_to_refit(self, epochs: int) -> bool:
        """Return whether `refit` fits into the time budget, by the median epoch so far."""
        session = self._session
        pace = float(np.median(np.diff([record.seconds for record in session.history])))
        needed = epochs * pace * self._refit_factor + self._seconds_later
        return 60 * self._parameters.minutes - session.elapsed() > needed

    def refit(self, epochs: int) -> dict[str, np.ndarray] | None:
        """Train the tail on all photos and return the averaged weights after `epochs` epochs.

        No photos are left to measure the result, so the learning rate follows the schedule of the
        first training, which was measured. Returns None when the time budget ends before.
        """
        session = self._session
        photos = session.dataset.photos
        per_epoch = -(-len(photos) // self._parameters.batch_size)
        optimiser = self._optimiser()
        step = 0
        for epoch in range(1, epochs + 1):
            for batch in self._batches(photos):
                if session.budget_used() >= 1:
                    return None
                # The learning rate falls as it did in the first training.
                done = np.interp(step / per_epoch, range(len(self._done_after)), self._done_after)
                self._train_on(optimiser, batch, float(done))
                step += 1
                completed = step / (per_epoch * epochs)
                session.report("refit", REFIT_BEGIN + REFIT_SHARE * completed, epoch)
        with optimiser.averaged():
            return get_weights(self._setup.tail)

    def _optimiser(self) -> Optimiser:
        return Optimiser(
            self._setup.tail,
            learning_rate=self._parameters.learning_rate,
            weight_decay=self._parameters.weight_decay,
            label_smoothing=self._parameters.label_smoothing,
            averaging=self._parameters.averaging,
        )

    def _batches(self, photos: Sequence[LabelledPhoto]) -> Iterator[list[LabelledPhoto]]:
        order = self._rng.permutation(len(photos))
        for start in range(0, len(order), self._parameters.batch_size):
            yield [photos[i] for i in order[start : start + self._parameters.batch_size]]

    def _train_on(self, optimiser: Optimiser, batch: list[LabelledPhoto], done: float) -> float:
        chosen = self._rng.integers(0, self._setup.views, size=len(batch))
        features = self._setup.cache.load(
            [(photo.sha256, int(view)) for photo, view in zip(batch, chosen, strict=True)]
        )
        n_labels = len(self._session.dataset.labels)
        targets = np.eye(n_labels, dtype=np.float32)[[photo.label for photo in batch]]
        mixup = self._parameters.mixup
        mix = float(self._rng.beta(mixup, mixup)) if mixup > 0 else 1.0
        return optimiser.step(features, targets, self._rng.permutation(len(batch)), mix, done)

    def _measure(self, optimiser: Optimiser, epoch: int, loss: float | None) -> Candidate:
        """Measure the averaged weights on the validation photos and add them to the history."""
        photos = [(photo.sha256, 0) for photo in self._session.dataset.validation]
        with optimiser.averaged():
            weights = get_weights(self._setup.tail)
            logits = predict(
                self._setup.tail,
                lambda start, stop: self._setup.cache.load(photos[start:stop]),
                len(photos),
                self._parameters.batch_size,
            )["logits"]
        done = min(1.0, epoch / self._parameters.epochs)
        fraction = LAYERS_BEGIN + self._layers_share * done
        return self._session.measure(
            epoch, logits, stage="layers", fraction=fraction, weights=weights, loss=loss
        )
