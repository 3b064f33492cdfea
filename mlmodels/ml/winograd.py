"""3x3 convolutions with a third of the multiplications, for training on processors.

Winograd's F(4x4, 3x3), by Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks"
(arXiv:1509.09308). Maps are cut into tiles of 6x6 pixels that overlap by two; on tiles and kernels
that were transformed, a convolution is 36 products of matrices, each of which gives 4x4 pixels of
the answer when it is transformed back. It pays where there are many channels and few pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

STEP = 4
"""Pixels of the answer that a tile gives, in each direction."""
TILE = STEP + 2
# The matrices of Lavin & Gray, section 4.3, each applied to rows and to columns at once.
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
    """A `Conv2D` of 3x3, stride 1 and padding "same" on square maps, in float32.

    Its answers and gradients are those of `Conv2D` to about 1e-4 of the largest.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.activation(convolve(inputs, self.kernel) + self.bias)


def convolve(maps: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`tf.nn.conv2d(maps, kernel, 1, "SAME")` of `maps` [n, s, s, c], `kernel` [3, 3, c, k]."""
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
    answer = tf.matmul(OUTPUT, tf.reshape(products, [TILE * TILE, -1]))
    answer = tf.reshape(answer, [STEP, STEP, -1, count, count, filters])
    answer = tf.reshape(
        tf.transpose(answer, [2, 3, 0, 4, 1, 5]), [-1, STEP * count, STEP * count, filters]
    )
    return answer[:, :size, :size]


@tf.custom_gradient
def _tiles(maps: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """All tiles of `maps` [n, 4 t + 2, 4 t + 2, c], as [6, 6, n, t, t, c].

    TensorFlow's own gradient of this would scatter each pixel by itself.
    """
    count, channels = maps.shape[1] // STEP, maps.shape[3]
    places = (STEP * np.arange(count)[:, np.newaxis] + np.arange(TILE)).ravel()
    cut = tf.gather(tf.gather(maps, places, axis=1), places, axis=2)
    cut = tf.reshape(cut, [-1, count, TILE, count, TILE, channels])

    def gradient(tiles: tf.Tensor) -> tf.Tensor:
        return _lay_down(_lay_down(tf.transpose(tiles, [2, 3, 0, 4, 1, 5]), 3), 1)

    return tf.transpose(cut, [2, 4, 0, 1, 3, 5]), gradient


def _lay_down(tiles: tf.Tensor, axis: int) -> tf.Tensor:
    """Sum tiles […, t, 6, …] where they overlap, to […, 4 t + 2, …]; `axis` is that of t."""
    count, rank = tiles.shape[axis], len(tiles.shape)
    own, shared = tf.split(tiles, [STEP, TILE - STEP], axis=axis + 1)

    def padded(part: tf.Tensor, paddings: dict[int, list[int]]) -> tf.Tensor:
        return tf.pad(part, [paddings.get(i, [0, 0]) for i in range(rank)])

    # The last two pixels of each tile lie on the next one's first two.
    own = padded(own, {axis: [0, 1]})
    shared = padded(shared, {axis: [1, 0], axis + 1: [0, 2 * STEP - TILE]})
    shape = tf.shape(tiles)
    row = tf.concat([shape[:axis], [STEP * (count + 1)], shape[axis + 2 :]], 0)
    return tf.split(
        tf.reshape(own + shared, row), [STEP * count + TILE - STEP, 2 * STEP - TILE], axis=axis
    )[0]
