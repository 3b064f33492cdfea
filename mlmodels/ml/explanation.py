"""Explains an answer: how much each part of a photo speaks for a species.

The photo is divided into as many cells as the maps after block 5 have positions. Cells are added in
a random order, and after each one pooling and head are computed anew from the maps of the cells so
far: what the log odds of the species gain is the cell's contribution. The mean over several orders
estimates the Shapley values (Shapley 1953; Castro et al. 2009, "Polynomial calculation of the
Shapley value based on sampling"). No further run of the engine is needed. NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from mlmodels.ml.head import Head, head_logits, projections
from mlmodels.ml.layers import LAST_BLOCK, Pooling
from mlmodels.ml.pooling import normalised_products, place_weights, rooted_statistics, triangle

METHOD: Final = "shapley-maps-1"
"""Names the method and its parameters; another method or other parameters need another name."""
ORDERS: Final = 16
"""Orders in which the cells are added; every second one is the reverse of the one before."""


@dataclass(frozen=True)
class _Cells:
    """What pooling needs to know of each of the n cells, row by row."""

    weights: dict[int, np.ndarray]
    """For each block: how much the places of its maps that lie in the cell count, [n, 1]."""
    sums: dict[int, np.ndarray]
    """For each block: the weighted sum of each channel, [n, c]."""
    squares: dict[int, np.ndarray]
    """For each block: the weighted sum of each channel's squares, [n, c]."""
    largest: dict[int, np.ndarray]
    """For each block: the largest value of each channel, [n, c]."""
    products: dict[int, np.ndarray]
    """For each block with second order: the weighted sums of products, [n, d (d + 1) / 2]."""


def log_odds(
    logits: np.ndarray, temperature: float, species: int, against: int | None = None
) -> np.ndarray:
    """Return the natural logarithm of a species' odds, float64 [...].

    `logits` [..., k], of the k species alone. The odds are those of the scores: the probability of
    `species` divided by that of `against` or, without it, by that of all other species together.
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    if against is not None:
        return scaled[..., species] - scaled[..., against]
    return scaled[..., species] - np.logaddexp.reduce(np.delete(scaled, species, -1), axis=-1)


def explain(
    maps: Mapping[int, np.ndarray],
    pooling: Pooling,
    head: Head,
    *,
    temperature: float,
    n_labels: int,
    species: int,
    against: int | None = None,
    orders: int = ORDERS,
) -> np.ndarray:
    """Return how much each cell of a photo speaks for a species, float64 [rows, columns].

    `maps`: for each block in `pooling.maps`, its maps [h, w, channels], 0 or more. `species` and
    `against` are indices of the `n_labels` species, which the first logits belong to. Each value
    is the cell's contribution to the `log_odds`, positive where it speaks for the species, negative
    where it speaks against it (or for `against`). Their sum is the log odds for the whole photo,
    minus those where all species are equally likely. The result for the same maps is always the
    same. Raises `ValueError` where `species` is `against`.
    """
    if species == against:
        raise ValueError("A species can't be explained against itself.")
    last = pooling.maps[-1]
    rows, columns = (side >> LAST_BLOCK - last for side in maps[last].shape[:2])
    cells = _cells(maps, pooling, head, rows, columns)
    unknown = log_odds(np.zeros(n_labels), 1.0, species, against)
    values = np.zeros(rows * columns)
    generator = np.random.default_rng(0)
    order = np.arange(rows * columns)
    for index in range(orders):
        order = order[::-1] if index % 2 else generator.permutation(rows * columns)
        logits = head_logits(_embeddings(cells, pooling, order), head)[:, :n_labels]
        gained = np.diff(log_odds(logits, temperature, species, against), prepend=unknown)
        values[order] += gained
    return (values / orders).reshape(rows, columns)


def _cells(
    maps: Mapping[int, np.ndarray], pooling: Pooling, head: Head, rows: int, columns: int
) -> _Cells:
    cells = _Cells({}, {}, {}, {}, {})
    projection_of = projections(head, pooling)
    for block in pooling.maps:
        values = maps[block]
        places = values.shape[:2]
        weights = place_weights(places[0], pooling.centre)
        weights = (
            np.ones((*places, 1), np.float32) if weights is None else weights.reshape(*places, 1)
        )
        if pooling.is_average or block in pooling.blocks:
            cells.weights[block] = _reduced(np.add, weights, rows, columns)
            cells.sums[block] = _reduced(np.add, values * weights, rows, columns)
            cells.squares[block] = _reduced(np.add, np.square(values) * weights, rows, columns)
            cells.largest[block] = _reduced(np.maximum, values, rows, columns)
        if block in pooling.projected:
            projected = values @ projection_of[block] * np.sqrt(weights * weights.size)
            first, second, _ = triangle(projected.shape[-1])
            products = projected[..., first] * projected[..., second]
            cells.products[block] = _reduced(np.add, products, rows, columns)
    return cells


def _reduced(operation: np.ufunc, values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return [h, w, c] reduced to [rows * columns, c] by `operation`."""
    for axis, cells in ((0, rows), (1, columns)):
        starts = np.arange(cells) * values.shape[axis] // cells
        values = operation.reduceat(values, starts, axis=axis)
    return values.reshape(rows * columns, -1)


def _embeddings(cells: _Cells, pooling: Pooling, order: np.ndarray) -> np.ndarray:
    """Return the embeddings of the first cell of `order`, of the first two, …, of all [n, d]."""
    parts = []
    for block in pooling.maps:
        if block in cells.sums:
            weight = np.cumsum(cells.weights[block][order], axis=0)
            mean = np.cumsum(cells.sums[block][order], axis=0) / weight
            if pooling.is_average:
                return mean
            square = np.cumsum(cells.squares[block][order], axis=0) / weight
            largest = np.maximum.accumulate(cells.largest[block][order], axis=0)
            parts.append(rooted_statistics(mean, largest, square))
        if block in cells.products:
            products = np.cumsum(cells.products[block][order], axis=0)
            parts.append(normalised_products(products, pooling.second_order))
    return np.concatenate(parts, axis=-1)
