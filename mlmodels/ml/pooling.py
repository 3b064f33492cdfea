"""The pooling layer in NumPy: feature maps to the embedding.

The statistics of several blocks keep fine texture, which the average of the last block loses. The
second order says which channels occur together (Lin et al. 2015, "Bilinear CNN models for
fine-grained visual recognition"), after a projection to fewer dimensions. `network` has the same
layer in Keras.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlmodels.ml.layers import Pooling

EPSILON = 1e-6
"""Added to variances and squares below a root, so that its slope stays finite in training."""


def pool(
    maps: Mapping[int, np.ndarray], pooling: Pooling, projection: np.ndarray | None
) -> np.ndarray:
    """Return the embedding, float32 [`pooling.size`], of one photo.

    `maps`: for each block in `pooling.maps`, its maps [h, w, channels], 0 or more. `projection`:
    float32 [512, `pooling.second_order`], or None where the pooling has no second order.
    """
    if pooling.is_average:
        return maps[5].mean(axis=(0, 1))
    parts = [statistics(maps[block]) for block in pooling.blocks]
    if projection is not None:
        parts.append(second_order(maps[5], projection))
    return np.concatenate(parts)


def statistics(maps: np.ndarray) -> np.ndarray:
    """Return the square roots of mean, maximum and standard deviation of each channel.

    `maps`: float32 [h, w, c], 0 or more; the result is float32 [3 c]. The root brings the few large
    values nearer to the many small ones.
    """
    values = maps.reshape(-1, maps.shape[-1])
    mean = values.mean(axis=0)
    # One pass more over the values would be needed for the deviations from the mean.
    variance = np.einsum("ij,ij->j", values, values) / len(values) - mean * mean
    deviation = np.sqrt(np.maximum(variance, 0) + EPSILON)
    return np.sqrt(np.concatenate([mean, values.max(axis=0), deviation]) + EPSILON)


def second_order(maps: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """Return the signed square roots of the projected channels' products, scaled to length 1.

    `maps`: float32 [h, w, 512]; `projection`: float32 [512, d]. The products of each pair of
    dimensions are summed over all positions; the result, float32 [d (d + 1) / 2], is the upper
    triangle row by row, with a factor of sqrt(2) for what stands there once instead of twice.
    """
    projected = maps.reshape(-1, maps.shape[-1]) @ projection
    rows, columns, factors = triangle(projection.shape[1])
    products = (projected.T @ projected)[rows, columns]
    rooted = np.sign(products) * np.sqrt(np.abs(products) + EPSILON) * factors
    # Maps without any value have no direction: the result is then 0.
    return (rooted / np.sqrt(np.square(rooted).sum() + EPSILON)).astype(np.float32)


def triangle(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns and factors (float32) of the upper triangle of [size, size]."""
    rows, columns = np.triu_indices(size)
    return rows, columns, np.where(rows == columns, 1.0, np.sqrt(2.0)).astype(np.float32)
