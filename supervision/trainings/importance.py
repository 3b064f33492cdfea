"""How much each parameter of a search mattered: rank correlations over its trials."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlmodels.words import parameter_name

MIN_TRIALS = 4
"""Complete trials that a correlation needs."""


@dataclass(frozen=True)
class Importance:
    """What a parameter's value says about a trial's negative log-likelihood."""

    name: str
    correlation: float
    """Spearman's rank correlation, -1 to 1: below 0, larger values did better."""
    n: int
    """Complete trials that had the parameter."""

    @property
    def label(self) -> str:
        return parameter_name(self.name)

    @property
    def strength(self) -> float:
        """Return the correlation without its sign, from 0 to 1."""
        return abs(self.correlation)

    @property
    def may_be_chance(self) -> bool:
        """Return whether trials without any connection are as correlated in 5 % of searches."""
        return self.strength < 1.96 / math.sqrt(self.n - 1)


def parameter_importances(trials: Sequence[Mapping[str, Any]]) -> list[Importance]:
    """Return the importance of each parameter that varied, the most important first.

    `trials` is TrainingRun.trials. Trials that were stopped early are left out: their likelihoods
    cannot be compared with those of complete ones. So is a parameter with fewer than MIN_TRIALS.
    """
    complete = [trial for trial in trials if trial["state"] == "complete"]
    names = sorted({name for trial in complete for name in trial["parameters"]})
    importances = []
    for name in names:
        pairs = [
            (trial["parameters"][name], trial["nll"])
            for trial in complete
            if isinstance(trial["parameters"].get(name), int | float)
        ]
        if len(pairs) < MIN_TRIALS:
            continue
        correlation = rank_correlation(*np.array(pairs, dtype=float).T)
        if correlation is not None:
            importances.append(Importance(name, correlation, len(pairs)))
    return sorted(importances, key=lambda one: -one.strength)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Spearman's rank correlation of two arrays [n]; None if one of them is constant."""
    ranks = np.array([_ranks(first), _ranks(second)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt((ranks**2).sum(axis=1))
    if not norms.all():
        return None
    return float(ranks[0] @ ranks[1] / norms.prod())


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value [n]; equal ones share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]
