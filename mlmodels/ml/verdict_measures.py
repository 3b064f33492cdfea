"""Measures verdicts on proposed names, at the mixture of names that is expected."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mlmodels.ml.answer_calibration import OTHER, RIGHT, WRONG, without_truth
from mlmodels.ml.metrics.shares import wilson_interval

Chosen = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Takes judgements and probabilities [n, names]; returns the share of each photo's names, [n]."""


def verdict_figures(
    probabilities: np.ndarray, supported: np.ndarray, contradicted: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    """Return the figures of the verdicts, by the wrong names that count: random, most_confused.

    `probabilities` [n, k]: how likely each name is right for each photo; `supported` and
    `contradicted` bool [n, k]: the names that get these verdicts; `labels` integers [n], k for
    other species. `random` counts all wrong names alike, `most_confused` for each photo the most
    probable one. Both hold ``n_photos``; the share of names ``covered`` by a verdict; and for each
    verdict its ``precision`` and its ``share`` of all names. Where there are no photos of other
    species, the mixture lacks their names.
    """
    return {
        "random": _figures(probabilities, supported, contradicted, labels, _mean),
        "most_confused": _figures(probabilities, supported, contradicted, labels, _most_confused),
    }


def _figures(
    probabilities: np.ndarray,
    supported: np.ndarray,
    contradicted: np.ndarray,
    labels: np.ndarray,
    chosen: Chosen,
) -> dict[str, Any]:
    is_known = labels < probabilities.shape[1]
    truth = labels[is_known]
    rows = np.arange(len(truth))
    known, other = probabilities[is_known], probabilities[~is_known]
    shares = {}
    for name, judged in (
        ("supported", supported),
        ("contradicted", contradicted),
    ):
        shares[name] = (
            judged[is_known][rows, truth].astype(np.float64),
            chosen(without_truth(judged[is_known], truth), without_truth(known, truth)),
            chosen(judged[~is_known], other) if len(other) else np.zeros(0),
        )
    weights = [
        np.full(len(kind), share / len(kind)) if len(kind) else kind
        for kind, share in zip(shares["supported"], (RIGHT, WRONG, OTHER), strict=True)
    ]
    judged = np.concatenate(shares["supported"]) + np.concatenate(shares["contradicted"])
    everything = np.concatenate(weights)
    return {
        "n_photos": len(is_known),
        "supported": _weighted_share(shares["supported"], weights, is_right=(1, 0, 0)),
        "contradicted": _weighted_share(shares["contradicted"], weights, is_right=(0, 1, 1)),
        "covered": _interval(float(judged @ everything / everything.sum()), everything),
    }


def _weighted_share(
    shares: tuple[np.ndarray, ...], weights: list[np.ndarray], is_right: tuple[int, int, int]
) -> dict[str, Any]:
    """Return the precision of a judgement, and the share of names that get it."""
    got = [share * weight for share, weight in zip(shares, weights, strict=True)]
    total = sum(float(kind.sum()) for kind in got)
    share = total / sum(float(weight.sum()) for weight in weights)
    if total == 0:
        return {"precision": None, "ci95": None, "n": 0, "share": 0.0}
    right = sum(float(kind.sum()) for kind, counts in zip(got, is_right, strict=True) if counts)
    precision = _interval(right / total, np.concatenate(got))
    return {"precision": precision.pop("share"), **precision, "share": share}


def _interval(share: float, weights: np.ndarray) -> dict[str, Any]:
    """Return a weighted share with Wilson's interval for as many photos as the weights are worth.

    That number is Kish's effective sample size (Kish 1965, "Survey Sampling"), here `n`.
    """
    n = max(1, math.floor(weights.sum() ** 2 / (weights**2).sum()))
    share = min(max(share, 0.0), 1.0)
    return {"share": share, "ci95": list(wilson_interval(share * n, n)), "n": n}


def _mean(judged: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return judged.mean(axis=1)


def _most_confused(judged: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return judged[np.arange(len(judged)), probabilities.argmax(axis=1)].astype(np.float64)
