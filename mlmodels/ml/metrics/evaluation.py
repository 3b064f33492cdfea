"""Evaluation metrics of a model on labelled photos that it was not trained on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mlmodels.ml.calibration import expected_calibration_error, negative_log_likelihood, softmax
from mlmodels.ml.metrics.calibration_error import (
    MIN_PHOTOS,
    CalibrationEstimate,
    ReliabilityBin,
    debiased_calibration_error,
    reliability_bins,
)
from mlmodels.ml.metrics.shares import accuracy_by_group, wilson_interval

SIZE_BOUNDS = (160, 320, 640, 1280)
"""Longer sides in pixels at which the groups of sizes end: Mushroom Observer's sizes."""
RELIABILITY_BINS = 10
"""Bins of the stored reliability diagram; fewer than the error's, so that each is precise."""


@dataclass(frozen=True)
class SpeciesMetrics:
    """The accuracy for one species."""

    species: str
    n: int
    """Photos of the species."""
    accuracy: float | None
    """From 0 to 1; None where there were no photos of the species."""
    ci95: tuple[float, float] | None
    """Wilson's 95 % interval of the accuracy; None where there were no photos of the species."""


@dataclass(frozen=True)
class SizeMetrics:
    """The accuracy on photos of similar size."""

    above: int
    """The longer side has more pixels than this,"""
    up_to: int | None
    """and at most this many; None: without limit."""
    n: int
    """Photos of the size; at least 1."""
    correct: int
    accuracy: float
    """From 0 to 1."""
    ci95: tuple[float, float]
    """Wilson's 95 % interval of the accuracy."""


@dataclass(frozen=True)
class EvaluationMetrics:
    """Evaluation metrics; shares and scores are from 0 to 1."""

    n: int
    """Photos."""
    correct: int
    """Photos whose best score is the true species'."""
    accuracy: float
    ci95: tuple[float, float]
    """Wilson's 95 % interval of the accuracy."""
    per_species: tuple[SpeciesMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Counts; rows are the true species, columns the answers, both in the order of the species."""
    ece: float
    """Expected calibration error, 15 bins of equal width, of the calibrated scores."""
    nll: float
    """Mean negative log-likelihood of the calibrated scores, in nats."""
    mean_score: float
    """Mean best score. The scores can't be trusted when it is far from the accuracy."""
    calibration: CalibrationEstimate | None
    """The calibration error without the bias that few photos bring; None for a single photo."""
    reliability: tuple[ReliabilityBin, ...]
    """The reliability diagram, from the lowest scores to the highest; empty for a single photo."""
    per_size: tuple[SizeMetrics, ...]
    """Small photos first; empty where the sizes are not known."""

    def as_dict(self) -> dict[str, Any]:
        """Return the metrics as dictionaries, lists, numbers and strings that JSON can hold."""
        return {name: _with_lists(value) for name, value in asdict(self).items()}


def confusion_matrix(labels: np.ndarray, answers: np.ndarray, n_labels: int) -> np.ndarray:
    """Return counts [k, k], int64: rows are the true labels, columns the answers.

    `labels` and `answers` are integers [n] from 0 to k - 1; k is `n_labels`.
    """
    matrix = np.zeros((n_labels, n_labels), dtype=np.int64)
    np.add.at(matrix, (np.asarray(labels), np.asarray(answers)), 1)
    return matrix


def evaluate(
    logits: np.ndarray,
    labels: np.ndarray,
    species: tuple[str, ...],
    temperature: float = 1.0,
    longer_sides: Sequence[int] | None = None,
) -> EvaluationMetrics:
    """Return the metrics of `logits` [n, k] for photos whose true labels are `labels` [n].

    `species` are the k names, in the order of the label indices; `temperature` is the model's.
    `longer_sides` [n] are the photos' sizes in pixels, where they are known. Raises `ValueError`
    when there are no photos, or for shapes, labels or sizes that do not fit.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2 or logits.shape[1] != len(species):
        raise ValueError(f"Logits {logits.shape} do not fit {len(species)} species.")
    probabilities = softmax(logits, temperature)
    ece = expected_calibration_error(probabilities, labels)  # checks the labels too
    answers, best = logits.argmax(axis=1), probabilities.max(axis=1)
    is_right = answers == labels
    correct = int(is_right.sum())
    is_enough = len(labels) >= MIN_PHOTOS
    confusion = confusion_matrix(labels, answers, len(species))
    return EvaluationMetrics(
        n=len(labels),
        correct=correct,
        accuracy=correct / len(labels),
        ci95=wilson_interval(correct, len(labels)),
        per_species=_per_species(is_right, labels, species),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        ece=ece,
        nll=negative_log_likelihood(logits, labels, temperature),
        mean_score=float(best.mean()),
        calibration=debiased_calibration_error(best, is_right) if is_enough else None,
        reliability=reliability_bins(best, is_right, RELIABILITY_BINS) if is_enough else (),
        per_size=_per_size(is_right, longer_sides) if longer_sides is not None else (),
    )


def _per_species(
    is_right: np.ndarray, labels: np.ndarray, species: tuple[str, ...]
) -> tuple[SpeciesMetrics, ...]:
    measured = {row.group: row for row in accuracy_by_group(is_right, labels.tolist())}
    return tuple(
        SpeciesMetrics(name, measured[i].n, measured[i].accuracy, measured[i].ci95)
        if i in measured
        else SpeciesMetrics(name, 0, None, None)
        for i, name in enumerate(species)
    )


def _per_size(is_right: np.ndarray, longer_sides: Sequence[int]) -> tuple[SizeMetrics, ...]:
    # A side that equals a bound belongs to the group that ends there.
    places = [bisect_left(SIZE_BOUNDS, side) for side in longer_sides]
    bounds = [0, *SIZE_BOUNDS, None]
    return tuple(
        SizeMetrics(
            above=bounds[row.group] or 0,
            up_to=bounds[row.group + 1],
            n=row.n,
            correct=row.correct,
            accuracy=row.accuracy,
            ci95=row.ci95,
        )
        for row in accuracy_by_group(is_right, places)
    )


def _with_lists(value: Any) -> Any:
    """Return `value` with lists for its tuples, as JSON has them."""
    if isinstance(value, tuple | list):
        return [_with_lists(item) for item in value]
    if isinstance(value, dict):
        return {name: _with_lists(item) for name, item in value.items()}
    return value
