"""Puts the answers for several photos of one find together. NumPy only.

The photos of a find are not independent: the same specimens, light and camera. If they were, the
species' probabilities would be multiplied; if each said the same as the others, their geometric
mean would do. A photo that says little, because no species is probable on it, counts less.
`benchmarks.finds` measures this rule and its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlmodels.ml.answers import Answer, AnswerCalibration, answer_of, log_odds
from mlmodels.ml.calibration import softmax

INDEPENDENCE = 0.5
"""How much n photos count: as n to this power. At 0 they count as one, at 1 as independent ones."""
MIN_SCORE = 5e-5
"""Lower scores are stored as 0: they have two decimals, in percent."""


def find_answer(
    scores: np.ndarray, scopes: Sequence[float] | np.ndarray, calibration: AnswerCalibration
) -> Answer:
    """Return the answer for a find, from what was said of each of its photos.

    `scores` [n, k]: the probability of each species; `scopes` [n]: that of one of them at all. The
    find is then treated as one photo with the scores and the scope of all: thresholds, p-values and
    names are those of `calibration`, which was fitted to single photos. Raises `ValueError` for no
    photos.
    """
    return answer_of(find_scores(scores), find_scope(scopes), calibration)


def find_scores(scores: np.ndarray, independence: float = INDEPENDENCE) -> np.ndarray:
    """Return the probability of each species for a find, float64 [k].

    `scores` [n, k] are those of its photos; of one photo they are returned as they are. Each photo
    counts as much as its highest score. Raises `ValueError` for no photos.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or not len(scores):
        raise ValueError(f"The scores of a find must be [photos, species], not {scores.shape}.")
    if len(scores) == 1:
        return scores[0]
    logarithms = np.log(np.maximum(scores, MIN_SCORE))
    means = np.average(logarithms, axis=0, weights=scores.max(axis=1))
    return softmax(len(scores) ** independence * means, 1.0)


def find_scope(scopes: Sequence[float] | np.ndarray) -> float:
    """Return the probability that a find is one of the species: the mean in log odds, 0 to 1.

    `scopes` [n] are those of its photos. The threshold was set so that it keeps 95 % of single
    photos, so the mean is left as it is, without counting several photos as more evidence.
    """
    return float(0.5 * (1 + np.tanh(log_odds(np.asarray(scopes, dtype=np.float64)).mean() / 2)))
