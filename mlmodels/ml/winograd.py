"""3x3 convolutions with a third of the multiplications, for training on CPUs.

Winograd's F(4x4, 3x3), by Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks"
(arXiv:1509.09308). Maps are cut into tiles of 6x6 pixels that overlap by two. For transformed tiles
and kernels, the convolution is 36 matrix products; transforming these back gives 4x4 pixels of
output per tile. It is faster where there are many channels and few pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

STEP = 4
"""Pixels of output per tile, in each direction."""
TILE = STEP + 2
"""Pixels of input per tile, in each direction."""
# The matrices of Lavin & Gray, section 4.3; their Kronecker products transform rows and columns.
_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float32,
)
_KERNEL = np.array(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], np.float32
) / np.float32(24)
_OUTPUT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    np.float32,
)
INPUT, KERNEL, OUTPUT = (np.kron(matrix, matrix) for matrix in (_INPUT, _KERNEL, _OUTPUT))


class WinogradConv2D(keras.layers.Conv2D):
    """A 3x3 `Conv2D` with stride 1 and padding "same" for square maps, in float32.

    Its outputs and gradients differ from those of `Conv2D` by at most about 1e-4 of the largest.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.activation(convolve(inputs, self.kernel) + self.bias)


def convolve(maps: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return `tf.nn.conv2d(maps, kernel, 1, "SAME")`, float32 [n, s, s, k], except for rounding.

    `maps` [n, s, s, c], `kernel` [3, 3, c, k], both float32.
    """
    size, channels, filters = maps.shape[1], maps.shape[3], kernel.shape[3]
    count = -(-size // STEP)
    tiles = tf.shape(maps)[0] * count * count
    margin = [1, STEP * count + 1 - size]
    padded = tf.pad(maps, [[0, 0], margin, margin, [0, 0]])
    pixels = tf.reshape(_tiles(padded), [TILE * TILE, -1])
    products = tf.matmul(
        tf.reshape(tf.matmul(INPUT, pixels), [TILE * TILE, tiles, channels]),
        tf.reshape(
            tf.matmul(KERNEL, tf.reshape(kernel, [9, -1])), [TILE * TILE, channels, filters]
        ),
    )
    output = tf.matmul(OUTPUT, tf.reshape(products, [TILE * TILE, -1]))
    output = tf.reshape(output, [STEP, STEP, -1, count, count, filters])
    output = tf.reshape(
        tf.transpose(output, [2, 3, 0, 4, 1, 5]), [-1, STEP * count, STEP * count, filters]
    )
    return output[:, :size, :size]


@tf.custom_gradient
def _tiles(maps: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return all tiles of `maps` [n, 4 t + 2, 4 t + 2, c] as [6, 6, n, t, t, c].

    The custom gradient is faster than TensorFlow's own, which would scatter single pixels.
    """
    count, channels = maps.shape[1] // STEP, maps.shape[3]
    positions = (STEP * np.arange(count)[:, np.newaxis] + np.arange(TILE)).ravel()
    tiled = tf.gather(tf.gather(maps, positions, axis=1), positions, axis=2)
    tiled = tf.reshape(tiled, [-1, count, TILE, count, TILE, channels])

    def gradient(tiles: tf.Tensor) -> tf.Tensor:
        return _overlap_add(_overlap_add(tf.transpose(tiles, [2, 3, 0, 4, 1, 5]), 3), 1)

    return tf.transpose(tiled, [2, 4, 0, 1, 3, 5]), gradient


def _overlap_add(tiles: tf.Tensor, axis: int) -> tf.Tensor:
    """Add up overlapping tiles […, t, 6, …] to […, 4 t + 2, …]; `axis` is the axis of t."""
    count, rank = tiles.shape[axis], len(tiles.shape)
    own, shared = tf.split(tiles, [STEP, TILE - STEP], axis=axis + 1)

    def padded(part: tf.Tensor, paddings: dict[int, list[int]]) -> tf.Tensor:
        return tf.pad(part, [paddings.get(i, [0, 0]) for i in range(rank)])

    # The last two pixels of each tile overlap the first two of the next one.
    own = padded(own, {axis: [0, 1]})
    shared = padded(shared, {axis: [1, 0], axis + 1: [0, 2 * STEP - TILE]})
    shape = tf.shape(tiles)
    row = tf.concat([shape[:axis], [STEP * (count + 1)], shape[axis + 2 :]], 0)
    return tf.split(
        tf.reshape(own + shared, row), [STEP * count + TILE - STEP, 2 * STEP - TILE], axis=axis
    )[0]
