"""Measures answers on labelled photos: figures for a version's card, each with its interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mlmodels.ml.answer_calibration import (
    IN_SCOPE,
    OTHER,
    RIGHT,
    WRONG,
    calibrate,
    checked,
    without_truth,
)
from mlmodels.ml.answers import (
    AnswerCalibration,
    name_probabilities,
    scope_scores,
    species_scores,
)
from mlmodels.ml.conformal import coverage, p_values, plausible
from mlmodels.ml.metrics import (
    Auroc,
    auroc,
    debiased_calibration_error,
    scope_by_group,
    wilson_interval,
)
from mlmodels.ml.verdict_measures import verdict_figures

FOLDS = 5
"""Parts of the cross-fitting: each is answered by a calibration that was fitted to the others."""


@dataclass
class _Answers:
    """The answers for n photos and k species."""

    scores: np.ndarray
    """Float64 [n, k]."""
    scope: np.ndarray
    """Float64 [n]."""
    in_scope: np.ndarray
    """Bool [n]."""
    plausible: list[list[int]]
    probabilities: np.ndarray
    """Float64 [n, k]: that each name is right."""
    supported: np.ndarray
    """Bool [n, k]."""
    contradicted: np.ndarray
    """Bool [n, k]."""


def measure(
    calibration: AnswerCalibration,
    logits: np.ndarray,
    lognorm: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
) -> dict[str, Any]:
    """Return the figures of a calibration on photos that it was not fitted to.

    Arguments as for `answer_calibration.calibrate`. Raises `ValueError` as that does, and for fewer
    than two photos of the species. The figures, which JSON can hold; shares and probabilities are
    from 0 to 1, each `ci95` is a 95 % interval:

    - ``n_known``, ``n_other``: photos of the species, and of others;
    - ``calibration_error``: debiased, of the best scores for photos of the species; also
      ``calibration_error_in_scope`` (of those found in scope), ``calibration_error_of_scope``
      (where four of five photos show one of the species) and ``calibration_error_of_names`` (the
      probability that a proposed name is right, for the usual mixture of names);
    - ``scope``: its method, share of the species' photos ``kept``, share of others ``passed``,
      ``auroc``, and the same per genus;
    - ``plausible``: how often the set holds the true species, and its mean size;
    - ``verdicts``: precision of *supported* and *contradicted*, and the share of names that get
      either (``covered``), with ``random`` wrong names and with the ``most_confused``.

    A figure that needs photos of other species is None where there are none.
    """
    logits, lognorm, labels = checked(logits, lognorm, labels, calibration.n_labels)
    return _figures(
        _answered(calibration, logits, lognorm),
        labels,
        np.asarray(groups),
        calibration.n_labels,
        calibration.scope.method,
    )


def cross_measure(
    logits: np.ndarray,
    lognorm: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    n_labels: int,
    temperature: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the figures of `measure` by cross-fitting, for photos that a calibration is fitted to.

    Arguments and errors as for `answer_calibration.calibrate`. Each fifth of the groups is answered
    by a calibration that was fitted to the other four.
    """
    logits, lognorm, labels = checked(logits, lognorm, labels, n_labels)
    groups = np.asarray(groups)
    fold_of = folds_by_group(labels, groups, seed)
    parts, indices, methods = [], [], set()
    for fold in range(FOLDS):
        inside = fold_of == fold
        if not inside.any():
            continue
        fitted = calibrate(
            logits[~inside],
            lognorm[~inside],
            labels[~inside],
            groups[~inside],
            n_labels=n_labels,
            temperature=temperature,
        )
        parts.append(_answered(fitted, logits[inside], lognorm[inside]))
        indices.append(np.flatnonzero(inside))
        methods.add(fitted.scope.method)
    order = np.argsort(np.concatenate(indices))
    sets = [chosen for part in parts for chosen in part.plausible]

    def joined(field: str) -> np.ndarray:
        return np.concatenate([getattr(part, field) for part in parts])[order]

    answers = _Answers(
        scores=joined("scores"),
        scope=joined("scope"),
        in_scope=joined("in_scope"),
        plausible=[sets[i] for i in order],
        probabilities=joined("probabilities"),
        supported=joined("supported"),
        contradicted=joined("contradicted"),
    )
    return _figures(answers, labels, groups, n_labels, "/".join(sorted(methods)))


def folds_by_group(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Return the fold of each photo, integers [n]: a group in one, each label spread over all."""
    rng = np.random.default_rng(seed)
    label_of: dict[Any, int] = {}
    is_seen = np.empty(len(labels), dtype=object)
    is_seen[:] = groups.tolist()
    for group, label in zip(is_seen, labels.tolist(), strict=True):
        label_of.setdefault(group, label)
    names = list(label_of)
    shuffled = sorted(rng.permutation(len(names)), key=lambda i: label_of[names[i]])
    fold_of = {names[i]: place % FOLDS for place, i in enumerate(shuffled)}
    return np.array([fold_of[group] for group in is_seen], dtype=int)


def _answered(calibration: AnswerCalibration, logits: np.ndarray, lognorm: np.ndarray) -> _Answers:
    scores = species_scores(logits, calibration)
    scope = scope_scores(logits, lognorm, calibration)
    in_scope = scope >= calibration.scope.threshold
    values = p_values(scores, calibration.conformal)
    probabilities = name_probabilities(scores, scope, calibration.names)
    rule = calibration.verdict_rule
    is_probable = probabilities >= rule.supported_from
    return _Answers(
        scores=scores,
        scope=scope,
        in_scope=in_scope,
        plausible=[
            plausible(row, row_values, is_in_scope=bool(is_inside))
            for row, row_values, is_inside in zip(scores, values, in_scope, strict=True)
        ],
        probabilities=probabilities,
        supported=is_probable & in_scope[:, None],  # as `verdicts.judge` has it
        contradicted=(probabilities < rule.contradicted_below) & ~is_probable,
    )


def _figures(
    answers: _Answers, labels: np.ndarray, groups: np.ndarray, k: int, method: str
) -> dict[str, Any]:
    is_known = labels < k
    truth = labels[is_known]
    best = answers.scores[is_known].max(axis=1)
    is_right = answers.scores[is_known].argmax(axis=1) == truth
    inside = answers.in_scope[is_known]
    covered = coverage(
        [chosen for chosen, known in zip(answers.plausible, is_known, strict=True) if known],
        truth,
        k,
    )
    known_scope, other_scope = answers.scope[is_known], answers.scope[~is_known]
    return {
        "n_known": int(is_known.sum()),
        "n_other": int((~is_known).sum()),
        "calibration_error": _calibration_error(best, is_right),
        "calibration_error_in_scope": _calibration_error(best[inside], is_right[inside]),
        "calibration_error_of_scope": _scope_error(known_scope, other_scope),
        "calibration_error_of_names": _names_error(answers.probabilities, labels, k),
        "scope": _scope_figures(answers, is_known, groups, method),
        "plausible": {
            "n": covered.n,
            "coverage": covered.share,
            "ci95": list(covered.ci95),
            "mean_set_size": covered.mean_set_size,
            "per_species": [
                {"n": row.n, "coverage": row.share, "ci95": list(row.ci95) if row.ci95 else None}
                for row in covered.per_species
            ],
        },
        "verdicts": {
            "mixture": {"right": RIGHT, "wrong": WRONG, "other": OTHER},
            **verdict_figures(
                answers.probabilities, answers.supported, answers.contradicted, labels
            ),
        },
    }


def _scope_figures(
    answers: _Answers, is_known: np.ndarray, groups: np.ndarray, method: str
) -> dict[str, Any]:
    known, other = answers.scope[is_known], answers.scope[~is_known]
    per_genus = []
    if len(known) and len(other):
        # The threshold may differ between photos, so passing is counted here.
        genera = np.array([str(group) for group in groups[~is_known].tolist()])
        passed = answers.in_scope[~is_known]
        per_genus = [
            {
                "genus": row.group,
                "auroc": _auroc(row.auroc),
                **_share("passed", passed[genera == row.group]),
            }
            for row in scope_by_group(known, other, genera.tolist(), threshold=0.0)
        ]
    return {
        "method": method,
        "auroc": _auroc(auroc(known, other)) if len(other) else None,
        "kept": _share("share", answers.in_scope[is_known]),
        "passed": _share("share", answers.in_scope[~is_known]) if len(other) else None,
        "per_genus": per_genus,
    }


def _calibration_error(confidences: np.ndarray, is_right: np.ndarray) -> dict[str, Any] | None:
    if len(confidences) < 2:
        return None
    estimate = asdict(debiased_calibration_error(confidences, is_right))
    return {**estimate, "ci95": list(estimate["ci95"])}


def _scope_error(known: np.ndarray, other: np.ndarray) -> dict[str, Any] | None:
    """Return the error of scope on a drawn mixture in which four photos of five are known."""
    per_other = round(IN_SCOPE / (1 - IN_SCOPE))
    m = min(len(known) // per_other, len(other))
    rng = np.random.default_rng(0)
    known, other = (
        rng.choice(known, m * per_other, replace=False),
        rng.choice(other, m, replace=False),
    )
    return _calibration_error(
        np.concatenate([known, other]), np.repeat([True, False], [len(known), len(other)])
    )


def _names_error(probabilities: np.ndarray, labels: np.ndarray, k: int) -> dict[str, Any] | None:
    """Return the error of the names' probabilities on names drawn as the mixture has them."""
    is_known = labels < k
    known, other = probabilities[is_known], probabilities[~is_known]
    m = min(len(known) // round(RIGHT / WRONG), len(other))
    rng = np.random.default_rng(0)
    right = rng.choice(
        known[np.arange(len(known)), labels[is_known]], m * round(RIGHT / WRONG), replace=False
    )
    wrong = rng.permuted(without_truth(known, labels[is_known]), axis=1)[:, 0]
    drawn = [
        right,
        rng.choice(wrong, m, replace=False),
        rng.choice(rng.permuted(other, axis=1)[:, 0], m, replace=False) if m else np.zeros(0),
    ]
    return _calibration_error(np.concatenate(drawn), np.repeat([True, False], [len(right), 2 * m]))


def _share(name: str, is_met: np.ndarray) -> dict[str, Any]:
    met, n = int(is_met.sum()), len(is_met)
    return {name: met / n, "ci95": list(wilson_interval(met, n)), "n": n}


def _auroc(area: Auroc) -> dict[str, Any]:
    return {
        "value": area.value,
        "ci95": list(area.ci95),
        "n_known": area.n_positive,
        "n_other": area.n_negative,
    }
