"""Fits an `AnswerCalibration` to a network's outputs for photos that it was not trained on.

What a photo shows is unknown when somebody proposes a name. So everything is fitted to the mixture
of photos and names that is expected: four photos of five show one of the model's species; of ten
proposed names eight are right, one is wrong though the photo shows one of the species, and one is
given to a photo of another species.

Where no photos of other species are at hand, photos of the species stand for them, each with the
output of its own species left out: what a network says of a species that it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlmodels.ml.answers import (
    BEST_SCORE,
    OTHER_CLASS,
    AnswerCalibration,
    NameCalibration,
    ScopeCalibration,
    logistic_of,
    name_features,
    name_probabilities,
    scope_features,
)
from mlmodels.ml.calibration import fit_temperature, softmax
from mlmodels.ml.conformal import conformal_table
from mlmodels.ml.metrics.shares import wilson_interval
from mlmodels.ml.verdicts import VerdictRule

IN_SCOPE = 0.8
"""Share of photos that show one of the species."""
RIGHT, WRONG, OTHER = 0.8, 0.1, 0.1
"""Shares of proposed names: right; wrong among the species; given to a photo of another species."""
KEPT = 0.95
"""Share of the species' photos that the threshold of scope keeps."""
MIN_OTHERS = 20
"""Photos of other species, in two genera or more, without which scope is by the best score."""
PRECISION = 0.97
"""Share of *supported* and of *contradicted* that must be right, wrong names drawn at random."""
PRECISION_CONFUSED = 0.95
"""The same for *supported* where each wrong name is the one that the model confuses most."""
EXPECTED_PRECISION = 0.985
"""Share of *contradicted* that is right by the calibrated probabilities. So few right names are
contradicted that their count depends on one or two photos, whose labels may be wrong; what the
probabilities expect depends on all. It is halfway between `PRECISION` and 1, because probabilities
near 0 are the least certain."""
Z_BOUND = 0.6744897501960817
"""The normal distribution's 75 % quantile: *supported* meets both precisions at this one-sided
bound."""
_PENALTY = 0.5
"""Of the squared weights of standardised features; scikit-learn's default (C = 1)."""


@dataclass(frozen=True)
class Proposals:
    """How likely proposed names are right, by kind of name; each row is of one photo."""

    right: np.ndarray
    """Float64 [n]."""
    wrong: np.ndarray
    """Float64 [n, k - 1]: the names of the other species, for the same photos."""
    other: np.ndarray
    """Float64 [m, k or k - 1]: the names for photos of other species."""


def calibrate(
    logits: np.ndarray,
    lognorm: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    n_labels: int,
    temperature: float | None = None,
) -> AnswerCalibration:
    """Return the calibration that fits the network's outputs for photos it was not trained on.

    `logits`: float [n, k + 1], or [n, k] of a network without an output for other species;
    `lognorm`: float [n], see `answers.answer`; `labels`: integers [n], k for other species;
    `groups` [n]: the find of each photo of a species, the genus of each other one; `n_labels`: k;
    `temperature`: of the scores, if it is known already. Raises `ValueError` for shapes, labels or
    outputs that do not fit, and for no photos of the species.

    For *supported* each share of names is taken at the unfavourable end of its one-sided 75 %
    Wilson bound, for *contradicted* as it is and as the probabilities expect it. With few photos
    nothing may meet that; then nothing is supported, or contradicted.
    """
    logits, lognorm, labels = checked(logits, lognorm, labels, n_labels)
    is_known = labels < n_labels
    if not is_known.any():
        raise ValueError("Answers can't be calibrated without photos of the species.")
    known, truth = logits[is_known], labels[is_known]
    if temperature is None:
        temperature = fit_temperature(known[:, :n_labels], truth)
    method = _method(logits, labels, groups, n_labels)
    if method == OTHER_CLASS:
        others = logits[~is_known]
        other_scores = softmax(others[:, :n_labels], temperature)
        other_features = scope_features(method, others, lognorm[~is_known], temperature, n_labels)
    else:
        stand_ins = without_truth(known[:, :n_labels], truth)
        other_scores = softmax(stand_ins, temperature)
        other_features = scope_features(method, stand_ins, None, temperature, stand_ins.shape[1])
    known_features = scope_features(method, known, lognorm[is_known], temperature, n_labels)
    scope = _fit_scope(method, known_features, other_features)
    scores = softmax(known[:, :n_labels], temperature)
    known_scope, other_scope = (
        logistic_of(features, scope.intercept, scope.weights)
        for features in (known_features, other_features)
    )
    names = _fit_names(scores, known_scope, truth, other_scores, other_scope)
    probabilities = name_probabilities(scores, known_scope, names)
    return AnswerCalibration(
        temperature=temperature,
        scope=scope,
        names=names,
        verdict_rule=choose_rule(
            Proposals(
                right=probabilities[np.arange(len(truth)), truth],
                wrong=without_truth(probabilities, truth),
                other=name_probabilities(other_scores, other_scope, names),
            )
        ),
        conformal=conformal_table(scores, truth),
    )


def choose_rule(proposals: Proposals) -> VerdictRule:
    """Return the rule that judges the most names while both precisions are met."""
    candidates = np.unique(np.append(proposals.right, 1.0))
    supporting = (
        _rounded(float(candidate), math.ceil)
        for candidate in candidates
        if _supports_well(proposals, _rounded(float(candidate), math.ceil))
    )
    supported_from = next(supporting, 1.0)
    contradicting = (
        _rounded(float(candidate), math.floor)
        for candidate in candidates[::-1]
        if candidate <= supported_from
        and _contradicts_well(proposals, _rounded(float(candidate), math.floor))
    )
    return VerdictRule(supported_from, next(contradicting, 0.0))


def without_truth(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return `values` [n, k] without those of each photo's own species `truth` [n]: [n, k - 1]."""
    n, k = values.shape
    return values[np.arange(k) != truth[:, None]].reshape(n, k - 1)


def checked(
    logits: np.ndarray, lognorm: np.ndarray, labels: np.ndarray, n_labels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the arrays, floats as float64; raise `ValueError` if they do not fit each other."""
    logits, lognorm = np.asarray(logits, np.float64), np.asarray(lognorm, np.float64)
    labels = np.asarray(labels)
    n = len(labels)
    if logits.shape not in ((n, n_labels), (n, n_labels + 1)) or lognorm.shape != (n,):
        raise ValueError(
            f"Outputs {logits.shape} and norms {lognorm.shape} do not fit {n} photos and "
            f"{n_labels} species."
        )
    if not (np.isfinite(logits).all() and np.isfinite(lognorm).all()):
        raise ValueError("Outputs and norms must be finite.")
    if n and not (labels.min() >= 0 and labels.max() <= n_labels):
        raise ValueError(f"Labels must be from 0 to {n_labels}, which stands for other species.")
    return logits, lognorm, labels


def _method(logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, n_labels: int) -> str:
    is_other = labels == n_labels
    enough = is_other.sum() >= MIN_OTHERS and len(set(np.asarray(groups)[is_other].tolist())) > 1
    return OTHER_CLASS if logits.shape[1] > n_labels and enough else BEST_SCORE


def _fit_scope(method: str, known: np.ndarray, other: np.ndarray) -> ScopeCalibration:
    n, m = len(known), len(other)
    intercept, weights = _fit_logistic(
        np.concatenate([known, other]),
        np.repeat([True, False], [n, m]),
        np.repeat([IN_SCOPE / n, (1 - IN_SCOPE) / m], [n, m]) * (n + m),
        # A better best score never counts against scope, however odd the photos.
        is_increasing=method == BEST_SCORE,
    )
    kept = np.quantile(logistic_of(known, intercept, weights), 1 - KEPT, method="lower")
    return ScopeCalibration(method, intercept, weights, threshold=float(kept))


def _fit_names(
    scores: np.ndarray,
    scope: np.ndarray,
    truth: np.ndarray,
    other_scores: np.ndarray,
    other_scope: np.ndarray,
) -> NameCalibration:
    known, other = name_features(scores, scope), name_features(other_scores, other_scope)
    (n, k, _), m = known.shape, len(other)
    is_right = np.arange(k) == truth[:, None]
    weights = np.concatenate(
        [
            np.where(is_right, RIGHT / n, WRONG / (n * (k - 1))).ravel(),
            np.full(other.shape[0] * other.shape[1], OTHER / (m * other.shape[1])),
        ]
    )
    intercept, fitted = _fit_logistic(
        np.concatenate([known.reshape(-1, 2), other.reshape(-1, 2)]),
        np.concatenate([is_right.ravel(), np.zeros(m * other.shape[1], dtype=bool)]),
        weights * (n + m),
        is_increasing=True,
    )
    return NameCalibration(intercept, *fitted)


def _fit_logistic(
    features: np.ndarray, is_positive: np.ndarray, weights: np.ndarray, *, is_increasing: bool
) -> tuple[float, tuple[float, ...]]:
    """Return intercept and weights of a logistic regression, for features as they are.

    `features` [n, f]; `weights` [n]: how much each row counts. `is_increasing`: no weight of a
    feature may be below 0. Standardised features have a ridge penalty.
    """
    # Imported late: serving needs no SciPy.
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    mean = np.average(features, axis=0, weights=weights)
    deviation = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights))
    deviation = np.where(deviation > 0, deviation, 1.0)
    standardised = (features - mean) / deviation
    signs = np.where(is_positive, 1.0, -1.0)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (parameters[0] + standardised @ parameters[1:])
        value = weights @ np.logaddexp(0, -margins) + _PENALTY * (parameters[1:] ** 2).sum()
        slopes = -weights * signs * 0.5 * (1 - np.tanh(margins / 2))
        gradient = np.concatenate(
            [[slopes.sum()], slopes @ standardised + 2 * _PENALTY * parameters[1:]]
        )
        return float(value), gradient

    lowest = 0.0 if is_increasing else None
    count = features.shape[1]
    found = minimize(
        loss,
        np.zeros(count + 1),
        jac=True,
        method="L-BFGS-B",
        bounds=[(None, None), *[(lowest, None)] * count],
        options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-8},
    ).x
    slopes = found[1:] / deviation
    return float(found[0] - slopes @ mean), tuple(float(slope) for slope in slopes)


def _supports_well(proposals: Proposals, threshold: float) -> bool:
    def met(precision: float, wrong: np.ndarray, other: np.ndarray) -> bool:
        right = RIGHT * _bound(
            (proposals.right >= threshold).mean(), len(proposals.right), low=True
        )
        false = WRONG * _bound((wrong >= threshold).mean(), len(wrong), low=False)
        false += OTHER * _bound((other >= threshold).mean(), len(other), low=False)
        return bool(right >= precision * (right + false))

    return met(PRECISION, proposals.wrong, proposals.other) and met(
        PRECISION_CONFUSED, proposals.wrong.max(axis=1), proposals.other.max(axis=1)
    )


def _contradicts_well(proposals: Proposals, threshold: float) -> bool:
    kinds = ((RIGHT, proposals.right), (WRONG, proposals.wrong), (OTHER, proposals.other))
    right_names, *wrong_names = (share * (kind < threshold).mean() for share, kind in kinds)
    contradicted = right_names + sum(wrong_names)
    # How likely the contradicted names are right after all, by their own probabilities.
    expected = sum(share * np.where(kind < threshold, kind, 0).mean() for share, kind in kinds)
    return bool(
        contradicted > 0
        and right_names <= (1 - PRECISION) * contradicted
        and expected <= (1 - EXPECTED_PRECISION) * contradicted
    )


def _bound(share: float, n: int, *, low: bool) -> float:
    interval = wilson_interval(min(float(share), 1.0) * n, n, Z_BOUND)
    return interval[0] if low else interval[1]


def _rounded(probability: float, how: Callable[[float], int]) -> float:
    """Return the probability with four digits: people read it in percent, with two."""
    return how(probability * 10_000) / 10_000
