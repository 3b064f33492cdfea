"""Evaluation metrics of a model on labelled photos that it was not trained on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mlmodels.ml.calibration import expected_calibration_error, negative_log_likelihood, softmax
from mlmodels.ml.metrics.shares import wilson_interval


@dataclass(frozen=True)
class SpeciesMetrics:
    """The accuracy for one species."""

    species: str
    n: int
    """Photos of the species."""
    accuracy: float | None
    """From 0 to 1; None where there were no photos of the species."""


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

    def as_dict(self) -> dict[str, Any]:
        """Return the metrics as dictionaries, lists, numbers and strings that JSON can hold."""
        return {
            **asdict(self),
            "ci95": list(self.ci95),
            "per_species": [asdict(species) for species in self.per_species],
            "confusion": [list(row) for row in self.confusion],
        }


def confusion_matrix(labels: np.ndarray, answers: np.ndarray, n_labels: int) -> np.ndarray:
    """Return counts [k, k], int64: rows are the true labels, columns the answers.

    `labels` and `answers` are integers [n] from 0 to k - 1; k is `n_labels`.
    """
    matrix = np.zeros((n_labels, n_labels), dtype=np.int64)
    np.add.at(matrix, (np.asarray(labels), np.asarray(answers)), 1)
    return matrix


def evaluate(
    logits: np.ndarray, labels: np.ndarray, species: tuple[str, ...], temperature: float = 1.0
) -> EvaluationMetrics:
    """Return the metrics of `logits` [n, k] for photos whose true labels are `labels` [n].

    `species` are the k names, in the order of the label indices; `temperature` is the model's.
    Raises `ValueError` when there are no photos, or for shapes or labels that do not fit.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2 or logits.shape[1] != len(species):
        raise ValueError(f"Logits {logits.shape} do not fit {len(species)} species.")
    probabilities = softmax(logits, temperature)
    ece = expected_calibration_error(probabilities, labels)  # checks the labels too
    confusion = confusion_matrix(labels, logits.argmax(axis=1), len(species))
    correct = int(confusion.trace())
    per_species = tuple(
        SpeciesMetrics(name, int(row.sum()), float(row[i] / row.sum()) if row.sum() else None)
        for i, (name, row) in enumerate(zip(species, confusion, strict=True))
    )
    return EvaluationMetrics(
        n=len(labels),
        correct=correct,
        accuracy=correct / len(labels),
        ci95=wilson_interval(correct, len(labels)),
        per_species=per_species,
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        ece=ece,
        nll=negative_log_likelihood(logits, labels, temperature),
        mean_score=float(probabilities.max(axis=1).mean()),
    )
