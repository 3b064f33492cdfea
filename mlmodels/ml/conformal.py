"""Conformal prediction: which species cannot be ruled out, with a known share of errors.

Class-conditional (Mondrian) conformal prediction: Vovk, Gammerman and Shafer 2005, "Algorithmic
Learning in a Random World", section 4.5. Each species has a table of the nonconformity scores of
its own training photos. Their probabilities come from models that were not trained on them
(cross-conformal: Vovk 2015, "Cross-conformal predictors"). The p-value of a species for a new photo
is the share of its training photos that fit it as badly or worse. If photos of the species
keep coming as before, at most 10 % of them get a p-value of 10 % or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlmodels.ml.metrics.shares import wilson_interval

LEVEL = 0.9
"""Share of photos whose true species is to be in the set."""
MAX_SCORES = 200
"""Scores kept of a species; with more photos these are quantiles."""
MAX_PHOTOS = 10**9
"""Limit of what a stored table may claim."""
MAX_SCORE = 1e6
"""Limit of a stored nonconformity score."""
DEFAULT_SCORE = "lac"
"""The score with the smallest sets at the same coverage.

At ten species and 90 % accuracy the sets of ``lac`` hold 1.1 species, of ``raps`` 1.3, of ``aps``
5, all three with the species covered; `tests/mlmodels/ml/test_conformal.py` simulates it. The other
two cover photos with a low best score better, by naming two to nine species for each.
"""
RANK_PENALTIES = {"aps": 0.0, "raps": 0.1}
"""Added by the cumulative scores for each rank below the best."""

_DIGITS = 6


class ConformalTableError(ValueError):
    """The stored table can't be used; the message says why."""


@dataclass(frozen=True)
class SpeciesScores:
    """The nonconformity scores of one species' training photos."""

    n: int
    """Photos; 0 says that the species can never be ruled out."""
    scores: tuple[float, ...]
    """Ascending: all `n`, or quantiles at equal distances of which the last is the highest."""


@dataclass(frozen=True)
class ConformalTable:
    """What conformal p-values are computed from; stored with a model version."""

    score: str
    """The nonconformity score's name: ``lac``, ``aps`` or ``raps``."""
    species: tuple[SpeciesScores, ...]
    """In the order of the model's labels."""

    def as_dict(self) -> dict[str, Any]:
        """Return the table as dictionaries, lists, numbers and strings that JSON can hold."""
        return {
            "score": self.score,
            "species": [{"n": row.n, "scores": list(row.scores)} for row in self.species],
        }


@dataclass(frozen=True)
class SpeciesCoverage:
    """How often the sets hold one species when it is the true one."""

    label: int
    """The species' index."""
    n: int
    """Photos of the species."""
    covered: int
    share: float | None
    """From 0 to 1; None where there were no photos of the species."""
    ci95: tuple[float, float] | None
    """Wilson's 95 % interval of the share."""


@dataclass(frozen=True)
class Coverage:
    """How often sets of species hold the true one, and how large they are."""

    n: int
    """Photos."""
    covered: int
    share: float
    """From 0 to 1."""
    ci95: tuple[float, float]
    """Wilson's 95 % interval of the share."""
    per_species: tuple[SpeciesCoverage, ...]
    mean_set_size: float
    """Species in a set."""


def nonconformity(probabilities: np.ndarray, score: str = DEFAULT_SCORE) -> np.ndarray:
    """Return how badly each species fits each photo, float64 [..., k]; 0 is perfect.

    `probabilities` [..., k] are calibrated and sum to 1. The scores:

    - ``lac``: 1 minus the species' probability (Sadinle, Lei and Wasserman 2019, arXiv:1609.00451);
    - ``aps``: the sum of the probabilities down to and including the species' (Romano, Sesia and
      Candès 2020, arXiv:2006.02544), without its random part, so that a photo always gets the same
      set;
    - ``raps``: the same plus 0.1 for each rank below the best (Angelopoulos, Bates, Malik and
      Jordan 2021, arXiv:2009.14193).

    Raises `ValueError` for another score, or for probabilities outside 0 to 1.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # false for NaN, too
        raise ValueError("Probabilities must be from 0 to 1.")
    if score == "lac":
        return 1 - probabilities
    if score not in RANK_PENALTIES:
        raise ValueError(f"The score must be lac, aps or raps, not {score!r}.")
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    ranked = np.cumsum(np.take_along_axis(probabilities, order, axis=-1), axis=-1)
    ranked += RANK_PENALTIES[score] * np.arange(probabilities.shape[-1])
    scores = np.empty_like(probabilities)
    np.put_along_axis(scores, order, ranked, axis=-1)
    return scores


def conformal_table(
    probabilities: np.ndarray,
    labels: np.ndarray,
    score: str = DEFAULT_SCORE,
    max_scores: int = MAX_SCORES,
) -> ConformalTable:
    """Return the table of scores from training photos.

    `probabilities` [n, k], calibrated, each row by a model that was not trained on its photo, nor
    on another photo of the same find; `labels` integers [n], from 0 to k - 1. Scores are rounded up
    to six digits, and a quantile stands for the lower scores down to the next: either makes sets
    larger, never smaller. Raises `ValueError` for shapes, labels or probabilities that do not fit.
    """
    probabilities, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            f"Probabilities must be [n, k] and labels [n]; they are {probabilities.shape} and "
            f"{labels.shape}."
        )
    n, k = probabilities.shape
    if n and not (labels.min() >= 0 and labels.max() < k):
        raise ValueError(f"Labels must be species' indices, from 0 to {k - 1}.")
    own = nonconformity(probabilities, score)[np.arange(n), labels]
    own = np.ceil(own * 10**_DIGITS) / 10**_DIGITS
    return ConformalTable(
        score=score,
        species=tuple(_species_scores(own[labels == label], max_scores) for label in range(k)),
    )


def read_table(raw: Any, n_labels: int) -> ConformalTable:
    """Return the table in `raw`, read from a version's JSON, for a model of `n_labels` species.

    Raises `ConformalTableError` unless it is what `ConformalTable.as_dict` makes.
    """
    try:
        table = ConformalTable(
            score=raw["score"],
            species=tuple(SpeciesScores(row["n"], tuple(row["scores"])) for row in raw["species"]),
        )
    except (TypeError, KeyError, IndexError) as error:
        raise ConformalTableError("The conformal table lacks score, species or scores.") from error
    if table.score not in ("lac", *RANK_PENALTIES):
        raise ConformalTableError(f"The conformal table has the unknown score {table.score!r}.")
    if len(table.species) != n_labels:
        raise ConformalTableError(
            f"The conformal table is for {len(table.species)} species, the model has {n_labels}."
        )
    for index, row in enumerate(table.species):
        if not _is_valid(row):
            raise ConformalTableError(f"The scores of species {index} in the table are not valid.")
    return table


def p_values(probabilities: np.ndarray, table: ConformalTable) -> np.ndarray:
    """Return a p-value for each species, float64 [..., k], above 0 and at most 1.

    `probabilities` [..., k]: calibrated as those of the table. A low p-value says that few training
    photos of the species fit it as badly as this photo. Raises `ValueError` for another k.
    """
    scores = nonconformity(probabilities, table.score)
    if scores.shape[-1] != len(table.species):
        raise ValueError(f"Scores {scores.shape} do not fit {len(table.species)} species.")
    values = np.empty_like(scores)
    for label, row in enumerate(table.species):
        ranks = np.concatenate([[0], _ranks(row.n, len(row.scores))])
        # A score counts as lower only where its whole quantile is.
        lower = ranks[np.searchsorted(np.array(row.scores), scores[..., label], side="left")]
        values[..., label] = (row.n - lower + 1) / (row.n + 1)
    return values


def plausible(
    probabilities: Sequence[float] | np.ndarray,
    p_values: Sequence[float] | np.ndarray,
    level: float = LEVEL,
    *,
    is_in_scope: bool = True,
) -> list[int]:
    """Return the indices of the species that cannot be ruled out, the most probable first.

    `probabilities` and `p_values` [k] are one photo's. The set holds each species whose p-value is
    above 1 - `level`, and for a photo in scope the most probable species at least. Empty: the photo
    is out of scope and fits no species. Raises `ValueError` for a level outside 0 to 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"The level must be between 0 and 1, not {level}.")
    order = np.argsort(-np.asarray(probabilities), kind="stable").tolist()
    # A p-value of exactly 1 - level rules out, whatever its last binary digit.
    kept = [label for label in order if p_values[label] > 1 - level + 1e-9]
    if is_in_scope and order[0] not in kept:
        kept.insert(0, order[0])
    return kept


def coverage(
    sets: Sequence[Sequence[int]], labels: Sequence[int] | np.ndarray, n_labels: int
) -> Coverage:
    """Return how often the sets hold the true species, over all photos and for each species.

    `sets` [n]: what `plausible` returned for each photo; `labels` [n]: the true species' indices,
    from 0 to `n_labels` - 1. Raises `ValueError` for no photos, or lengths or labels that do not
    fit.
    """
    truth = np.asarray(labels)
    if len(sets) != len(truth) or not len(sets):
        raise ValueError(f"There are {len(sets)} sets for {len(truth)} labels.")
    if truth.min() < 0 or truth.max() >= n_labels:
        raise ValueError(f"Labels must be species' indices, from 0 to {n_labels - 1}.")
    is_covered = np.array([label in chosen for chosen, label in zip(sets, truth, strict=True)])
    covered = int(is_covered.sum())
    return Coverage(
        n=len(sets),
        covered=covered,
        share=covered / len(sets),
        ci95=wilson_interval(covered, len(sets)),
        per_species=tuple(
            _species_coverage(label, is_covered[truth == label]) for label in range(n_labels)
        ),
        mean_set_size=float(np.mean([len(chosen) for chosen in sets])),
    )


def _species_scores(scores: np.ndarray, max_scores: int) -> SpeciesScores:
    ordered = np.sort(scores)
    kept = ordered[_ranks(len(ordered), min(max_scores, len(ordered))) - 1]
    return SpeciesScores(n=len(ordered), scores=tuple(float(score) for score in kept))


def _ranks(n: int, kept: int) -> np.ndarray:
    """Return the ranks, from 1 to `n`, of `kept` scores out of `n` at equal distances."""
    return -(-n * np.arange(1, kept + 1) // max(kept, 1))  # rounded up


def _species_coverage(label: int, is_covered: np.ndarray) -> SpeciesCoverage:
    n, covered = len(is_covered), int(is_covered.sum())
    return SpeciesCoverage(
        label=label,
        n=n,
        covered=covered,
        share=covered / n if n else None,
        ci95=wilson_interval(covered, n) if n else None,
    )


def _is_valid(row: SpeciesScores) -> bool:
    return (
        type(row.n) is int
        and row.n <= MAX_PHOTOS
        and len(row.scores) <= row.n
        and (len(row.scores) > 0) == (row.n > 0)
        and all(type(score) in (int, float) and abs(score) <= MAX_SCORE for score in row.scores)
        and all(low <= high for low, high in zip(row.scores, row.scores[1:], strict=False))
    )
