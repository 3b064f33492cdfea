"""Compares Winograd's convolution with TensorFlow's, forward and backward, as in training.

.venv/bin/python -m benchmarks.winograd
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks.timing import median_ms
from mlmodels.ml.winograd import convolve

BATCH = 32
REPEATS = 10


def main() -> None:
    """Print the milliseconds per batch for one layer of each block that training can speed up."""
    rng = np.random.default_rng(0)
    for block, size in (("block4", 28), ("block5", 14)):
        maps = tf.constant(rng.normal(size=(BATCH, size, size, 512)).astype(np.float32))
        kernel = tf.Variable(rng.normal(0, 0.02, (3, 3, 512, 512)).astype(np.float32))
        conv2d = _step(lambda x, k: tf.nn.conv2d(x, k, 1, "SAME"), maps, kernel)
        winograd = _step(convolve, maps, kernel)
        for step in (conv2d, winograd):
            step()  # traces the function
        conv2d_ms, winograd_ms = (median_ms([step] * REPEATS) for step in (conv2d, winograd))
        print(f"{block}, {BATCH} photos: conv2d {conv2d_ms:.0f} ms, Winograd {winograd_ms:.0f} ms, "
              f"{conv2d_ms / winograd_ms:.2f} times faster")  # fmt: skip


def _step(
    convolution: Callable[[tf.Tensor, tf.Variable], tf.Tensor], maps: tf.Tensor, kernel: tf.Variable
) -> Callable[[], object]:
    """Return a function that computes the gradients for the kernel and the maps once."""

    @tf.function
    def gradients() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(maps)
            loss = tf.reduce_mean(tf.nn.relu(convolution(maps, kernel)) ** 2)
        return tape.gradient(loss, [kernel, maps])

    return lambda: [value.numpy() for value in gradients()]


if __name__ == "__main__":
    main()
