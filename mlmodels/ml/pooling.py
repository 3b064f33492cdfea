"""The pooling layer in NumPy: feature maps to the embedding.

The statistics of several blocks keep fine texture, which the average of the last block loses. The
second order says which channels occur together (Lin et al. 2015, "Bilinear CNN models for
fine-grained visual recognition"), after a projection to fewer dimensions. Places in the middle of
the photo may count more than those at its border. `network` has the same layer in Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from mlmodels.ml.layers import Pooling

EPSILON = 1e-6
"""Added to variances and squares below a root, so that its slope stays finite in training."""


def pool(
    maps: Mapping[int, np.ndarray], pooling: Pooling, projections: Mapping[int, np.ndarray]
) -> np.ndarray:
    """Return the embedding of one photo, float32, or the part of it that comes from `maps`.

    `maps`: for each block in `pooling.maps`, or for some of them, its maps [h, w, channels], 0 or
    more. `projections`: for each block in `pooling.projected`, float32 [512, dimensions]. From all
    maps the result is [`pooling.size`].
    """
    if pooling.is_average:
        return maps[5].mean(axis=(0, 1))
    parts = []
    for block in pooling.maps:
        if block in maps:
            weights = place_weights(maps[block].shape[0], pooling.centre)
            if block in pooling.blocks:
                parts.append(statistics(maps[block], weights))
            if block in pooling.projected:
                parts.append(second_order(maps[block], projections[block], weights))
    return np.concatenate(parts)


@cache
def place_weights(side: int, centre: float) -> np.ndarray | None:
    """Return how much each place of maps [side, side, c] counts, float32 [side * side], sum 1.

    They fall from the middle of the photo outwards as a normal distribution whose standard
    deviation is `centre` half sides: the mushroom is mostly in the middle. None where `centre` is
    0: all places count alike.
    """
    if not centre:
        return None
    steps = (np.arange(side) + 0.5) / side * 2 - 1
    weights = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * centre**2)).ravel()
    return (weights / weights.sum()).astype(np.float32)


def statistics(maps: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the square roots of mean, maximum and standard deviation of each channel.

    `maps`: float32 [h, w, c], 0 or more; `weights` of the places as from `place_weights`; the
    result is float32 [3 c]. The root brings the few large values nearer to the many small ones.
    """
    values = maps.reshape(-1, maps.shape[-1])
    # One pass more over the values would be needed for the deviations from the mean.
    if weights is None:
        mean = values.mean(axis=0)
        square = np.einsum("ij,ij->j", values, values) / len(values)
    else:
        mean = weights @ values
        weighted = values * np.sqrt(weights)[:, None]
        square = np.einsum("ij,ij->j", weighted, weighted)
    return rooted_statistics(mean, values.max(axis=0), square)


def rooted_statistics(mean: np.ndarray, largest: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Return `statistics` [..., 3 c] from each channel's mean, maximum and mean square [..., c]."""
    deviation = np.sqrt(np.maximum(square - mean * mean, 0) + EPSILON)
    return np.sqrt(np.concatenate([mean, largest, deviation], axis=-1) + EPSILON)


def second_order(
    maps: np.ndarray, projection: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the signed square roots of the projected channels' products, scaled to length 1.

    `maps`: float32 [h, w, 512]; `projection`: float32 [512, d]; `weights` of the places as from
    `place_weights`. The products of each pair of dimensions are summed over all places; the result,
    float32 [d (d + 1) / 2], is the upper triangle row by row, with a factor of sqrt(2) for what
    stands there once instead of twice.
    """
    projected = maps.reshape(-1, maps.shape[-1]) @ projection
    if weights is not None:
        projected = projected * np.sqrt(weights * len(weights))[:, None]
    rows, columns, _ = triangle(projection.shape[1])
    return normalised_products((projected.T @ projected)[rows, columns], projection.shape[1])


def normalised_products(products: np.ndarray, size: int) -> np.ndarray:
    """Return `second_order` [..., d (d + 1) / 2] from the sums of products in that order.

    `size`: the dimensions d.
    """
    rooted = np.sign(products) * np.sqrt(np.abs(products) + EPSILON) * triangle(size)[2]
    # Maps without any value have no direction: the result is then 0.
    length = np.sqrt(np.square(rooted).sum(axis=-1, keepdims=True) + EPSILON)
    return (rooted / length).astype(np.float32)


@cache
def triangle(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns and factors (float32) of the upper triangle of [size, size]."""
    rows, columns = np.triu_indices(size)
    return rows, columns, np.where(rows == columns, 1.0, np.sqrt(2.0)).astype(np.float32)
