"""Answers in percent, as they are stored and as people read them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlmodels.ml.answers import Answer, AnswerCalibration
from mlmodels.ml.finds import find_answer, find_scores

MAX_NAME_SCORE = 99.99
"""Highest percentage that a name gets. A version that can't support any name does from 100 % on."""


@dataclass(frozen=True)
class PhotoAnswer:
    """What a version says of one photo, in the order of its labels.

    Only `scores` are there if the version's card has no calibration of answers; all else is None.
    """

    scores: list[float]
    """Percentages with two decimals; the sum is 100."""
    in_scope: bool | None = None
    """False: it shows none of the version's species."""
    scope_score: float | None = None
    """Probability that it shows one of them, in percent with two decimals."""
    p_values: list[float] | None = None
    """Conformal p-value of each species, from 0 to 1."""
    name_scores: list[float] | None = None
    """Probability that each species' name is right if it is proposed, in percent, two decimals."""


def photo_answer(answer: Answer) -> PhotoAnswer:
    """Return an answer in percent."""
    return PhotoAnswer(
        scores=percentages(answer.scores),
        in_scope=answer.in_scope,
        scope_score=round(100 * answer.scope, 2),
        p_values=[round(float(value), 6) for value in answer.p_values],
        name_scores=[
            min(score, MAX_NAME_SCORE) for score in percentages(answer.probabilities_right)
        ],
    )


def answer_together(
    scores: Sequence[Sequence[float]],
    scope_scores: Sequence[float | None],
    calibration: AnswerCalibration | None,
) -> PhotoAnswer:
    """Return what is said of a find, from what was said of each of its photos, in percent.

    `scores`: those of each photo, for the species that `calibration` knows. Only the scores are
    told if there is no calibration, or if a photo has no scope.
    """
    shares = np.array(scores) / 100
    scopes = [scope / 100 for scope in scope_scores if scope is not None]
    if calibration is None or len(scopes) < len(shares):
        return PhotoAnswer(percentages(find_scores(shares)))
    return photo_answer(find_answer(shares, scopes, calibration))


def percentages(probabilities: np.ndarray) -> list[float]:
    """Return probabilities in percent, with two decimals."""
    return [round(float(probability), 2) for probability in 100 * probabilities]
