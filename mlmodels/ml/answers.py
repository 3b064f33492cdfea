"""Turns a network's outputs for a photo into an answer: scores, scope, plausible species, names.

NumPy only; `answer_calibration` fits what this module applies, `answer_measures` measures it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mlmodels.ml.calibration import softmax
from mlmodels.ml.conformal import (
    ConformalTable,
    ConformalTableError,
    p_values,
    plausible,
    read_table,
)
from mlmodels.ml.verdicts import VerdictRule

OTHER_CLASS, BEST_SCORE = "other_class", "best_score"
"""Ways to tell scope: by an output that learnt other species, or by the best score alone."""
SCOPE_FEATURES = {
    OTHER_CLASS: ("highest_output", "other_output", "best_log_probability", "lognorm"),
    BEST_SCORE: ("best_log_odds",),
}
"""What each way's scope is computed from, in the order of its weights."""
MIN_TEMPERATURE = 1e-4
"""Lowest stored temperature: lower ones would turn any difference of outputs into certainty."""
MAX_NUMBER = 1e6
"""Largest absolute value of a stored weight."""
SMALLEST = 1e-9
"""Probabilities are kept this far from 0 and 1 before a logarithm is taken."""


@dataclass(frozen=True)
class ScopeCalibration:
    """A logistic regression that tells whether a photo shows one of the model's species."""

    method: str
    """``other_class`` or ``best_score``."""
    intercept: float
    weights: tuple[float, ...]
    """One for each of the method's `SCOPE_FEATURES`."""
    threshold: float
    """Photos with this scope or more are in scope; from 0 to 1."""


@dataclass(frozen=True)
class NameCalibration:
    """A logistic regression that tells how likely a proposed name is right."""

    intercept: float
    score_weight: float
    """Of the natural logarithm of the species' score."""
    scope_weight: float
    """Of the scope's log odds."""


@dataclass(frozen=True)
class AnswerCalibration:
    """All that turns outputs into answers; stored with a model version."""

    temperature: float
    """The species' outputs are divided by it before the softmax."""
    scope: ScopeCalibration
    names: NameCalibration
    verdict_rule: VerdictRule
    """Thresholds for `Answer.probabilities_right`."""
    conformal: ConformalTable
    """Of the scores of training photos."""

    @property
    def n_labels(self) -> int:
        """Species that the model knows."""
        return len(self.conformal.species)

    def as_dict(self) -> dict[str, Any]:
        """Return the calibration as dictionaries, lists, numbers and strings that JSON can hold."""
        return {
            "temperature": self.temperature,
            "scope": {**asdict(self.scope), "weights": list(self.scope.weights)},
            "names": asdict(self.names),
            "verdict_rule": asdict(self.verdict_rule),
            "conformal": self.conformal.as_dict(),
        }


@dataclass(frozen=True)
class Answer:
    """What a model version says of one photo, for k species in the order of its labels."""

    scores: np.ndarray
    """Float64 [k]: probability of each species, given that it is one of them. The sum is 1."""
    scope: float
    """Probability, from 0 to 1, that the photo shows one of the species, where four of five do."""
    in_scope: bool
    """False says: none of the species that the model knows."""
    p_values: np.ndarray
    """Float64 [k]: share of the species' training photos that fit it as badly or worse."""
    plausible: list[int]
    """Indices of the species that can't be ruled out at 90 %, the most probable first."""
    probabilities_right: np.ndarray
    """Float64 [k]: probability that each species' name is right, if somebody proposes it.

    It counts in that eight of ten proposed names are right (`answer_calibration.RIGHT`), so it is
    above the product of scope and score, and the sum is not 1.
    """


def answer(logits: np.ndarray, lognorm: float | None, calibration: AnswerCalibration) -> Answer:
    """Return the answer for one photo.

    `logits`: float [k + 1], the network's outputs for its species and for *other*, or [k] where the
    scope's method is ``best_score``. `lognorm`: natural logarithm of the embedding's squared
    standardised norm; None where the method is ``best_score``. Raises `ValueError` for sizes that
    do not fit the calibration, and for outputs that are not finite.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim != 1:
        raise ValueError(f"The outputs of one photo must be [k] or [k + 1], not {logits.shape}.")
    scores = species_scores(logits, calibration)
    return answer_of(scores, float(scope_scores(logits, lognorm, calibration)), calibration)


def answer_of(scores: np.ndarray, scope: float, calibration: AnswerCalibration) -> Answer:
    """Return the answer for a photo whose species have these `scores` [k], with this scope.

    Both are probabilities. Raises `ValueError` for another k than the calibration's.
    """
    in_scope = scope >= calibration.scope.threshold
    values = p_values(scores, calibration.conformal)
    return Answer(
        scores=scores,
        scope=scope,
        in_scope=in_scope,
        p_values=values,
        plausible=plausible(scores, values, is_in_scope=in_scope),
        probabilities_right=name_probabilities(scores, np.array(scope), calibration.names),
    )


def species_scores(logits: np.ndarray, calibration: AnswerCalibration) -> np.ndarray:
    """Return the probability of each species, float64 [..., k], for outputs [..., k or k + 1].

    Raises `ValueError` for another size, and for outputs that are not finite.
    """
    k, size = calibration.n_labels, logits.shape[-1]
    if size not in (k, k + 1):
        raise ValueError(f"{size} outputs do not fit a calibration for {k} species.")
    if not np.isfinite(logits).all():
        raise ValueError("The network's outputs are not all finite.")
    return softmax(logits[..., :k], calibration.temperature)


def scope_scores(
    logits: np.ndarray, lognorm: np.ndarray | float | None, calibration: AnswerCalibration
) -> np.ndarray:
    """Return the probability that each photo shows one of the species, float64 [...].

    Arguments and errors as for `answer`, but of many photos: `logits` [..., k or k + 1], `lognorm`
    [...].
    """
    scope = calibration.scope
    features = scope_features(
        scope.method, logits, lognorm, calibration.temperature, calibration.n_labels
    )
    return logistic_of(features, scope.intercept, scope.weights)


def scope_features(
    method: str,
    logits: np.ndarray,
    lognorm: np.ndarray | float | None,
    temperature: float,
    k: int,
) -> np.ndarray:
    """Return the features of the scope's logistic regression, float64 [..., features].

    `logits` [..., k or k + 1]; `lognorm` [...]; `method`: a key of `SCOPE_FEATURES`. Raises
    `ValueError` where the method needs what is missing.
    """
    if method == BEST_SCORE:
        return log_odds(softmax(logits[..., :k], temperature).max(axis=-1))[..., None]
    if logits.shape[-1] != k + 1:
        raise ValueError(f"Scope by the output for other species needs {k + 1} outputs.")
    if lognorm is None or not np.isfinite(lognorm).all():
        raise ValueError("Scope by the output for other species needs the embedding's norm.")
    best = softmax(logits, temperature)[..., :k].max(axis=-1)
    return np.stack(
        [
            logits[..., :k].max(axis=-1),
            logits[..., k],
            np.log(np.maximum(best, SMALLEST)),
            np.broadcast_to(np.asarray(lognorm, dtype=np.float64), best.shape),
        ],
        axis=-1,
    )


def name_features(scores: np.ndarray, scope: np.ndarray) -> np.ndarray:
    """Return the features of the names' logistic regression, float64 [..., k, 2].

    `scores` [..., k] and `scope` [...]: probabilities.
    """
    log_scores = np.log(np.maximum(scores, SMALLEST))
    return np.stack(
        [log_scores, np.broadcast_to(log_odds(scope)[..., None], scores.shape)], axis=-1
    )


def name_probabilities(
    scores: np.ndarray, scope: np.ndarray, calibration: NameCalibration
) -> np.ndarray:
    """Return how likely each species' name is right if it is proposed, float64 [..., k].

    `scores` [..., k] and `scope` [...]: probabilities.
    """
    weights = (calibration.score_weight, calibration.scope_weight)
    return logistic_of(name_features(scores, scope), calibration.intercept, weights)


def logistic_of(features: np.ndarray, intercept: float, weights: tuple[float, ...]) -> np.ndarray:
    """Return the probabilities [...] of a logistic regression for `features` [..., f]."""
    return 0.5 * (1 + np.tanh((intercept + features @ np.array(weights)) / 2))


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Return the natural logarithm of p / (1 - p); p is kept `SMALLEST` from 0 and 1."""
    clipped = np.clip(probabilities, SMALLEST, 1 - SMALLEST)
    return np.log(clipped) - np.log1p(-clipped)


def read_calibration(raw: Any, n_labels: int) -> AnswerCalibration:
    """Return the calibration in `raw`, read from a version's JSON, for `n_labels` species.

    Raises `ValueError`, which says what is wrong, unless it is what `AnswerCalibration.as_dict`
    makes.
    """
    fields = _fields(
        raw, "the calibration", ("temperature", "scope", "names", "verdict_rule", "conformal")
    )
    temperature = _number(fields["temperature"], "the calibration's temperature")
    if temperature < MIN_TEMPERATURE:
        raise ValueError(
            f"the calibration's temperature must be {MIN_TEMPERATURE} or more, not {temperature}."
        )
    names = _fields(fields["names"], "names", ("intercept", "score_weight", "scope_weight"))
    rule = _fields(fields["verdict_rule"], "verdict_rule", ("supported_from", "contradicted_below"))
    try:
        conformal = read_table(fields["conformal"], n_labels)
    except ConformalTableError as error:
        raise ValueError(str(error)) from error
    return AnswerCalibration(
        temperature=temperature,
        scope=_scope(fields["scope"]),
        names=NameCalibration(**{key: _number(names[key], f"names' {key}") for key in names}),
        verdict_rule=VerdictRule(
            **{key: _number(rule[key], f"verdict_rule's {key}") for key in rule}
        ),
        conformal=conformal,
    )


def _scope(raw: Any) -> ScopeCalibration:
    fields = _fields(raw, "scope", ("method", "intercept", "weights", "threshold"))
    method, weights = fields["method"], fields["weights"]
    if not isinstance(method, str) or method not in SCOPE_FEATURES:
        raise ValueError(f"scope's method must be one of {list(SCOPE_FEATURES)}, not {method!r}.")
    count = len(SCOPE_FEATURES[method])
    if not isinstance(weights, list) or len(weights) != count:
        raise ValueError(f"scope's weights must be a list of {count} numbers.")
    threshold = _number(fields["threshold"], "scope's threshold")
    if not 0 <= threshold <= 1:
        raise ValueError(f"scope's threshold must be from 0 to 1, not {threshold}.")
    return ScopeCalibration(
        method=method,
        intercept=_number(fields["intercept"], "scope's intercept"),
        weights=tuple(_number(weight, "a weight of scope") for weight in weights),
        threshold=threshold,
    )


def _fields(raw: Any, what: str, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(raw, dict) or raw.keys() != set(names):
        found = sorted(map(str, raw)) if isinstance(raw, dict) else type(raw).__name__
        raise ValueError(f"{what} must have the fields {sorted(names)}, not {found}.")
    return raw


def _number(value: Any, what: str) -> float:
    if type(value) not in (int, float) or not abs(value) <= MAX_NUMBER:  # refuses NaN, too
        raise ValueError(f"{what} must be a number from -{MAX_NUMBER:g} to {MAX_NUMBER:g}.")
    return float(value)
