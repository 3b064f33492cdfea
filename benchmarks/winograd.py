"""Winograd's convolution beside TensorFlow's own, forward and backward, as a training uses them.

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
    """Print ms for a batch through one layer of each block that training may compute so."""
    rng = np.random.default_rng(0)
    for block, size in (("block4", 28), ("block5", 14)):
        maps = tf.constant(rng.normal(size=(BATCH, size, size, 512)).astype(np.float32))
        kernel = tf.Variable(rng.normal(0, 0.02, (3, 3, 512, 512)).astype(np.float32))
        conv2d = _step(lambda x, k: tf.nn.conv2d(x, k, 1, "SAME"), maps, kernel)
        winograd = _step(convolve, maps, kernel)
        for step in (conv2d, winograd):
            step()  # traced
        theirs, ours = (median_ms([step] * REPEATS) for step in (conv2d, winograd))
        print(f"{block}, {BATCH} photos: conv2d {theirs:.0f} ms, Winograd {ours:.0f} ms, "
              f"{theirs / ours:.2f} times faster")  # fmt: skip


def _step(
    convolution: Callable[[tf.Tensor, tf.Variable], tf.Tensor], maps: tf.Tensor, kernel: tf.Variable
) -> Callable[[], object]:
    @tf.function
    def gradients() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(maps)
            loss = tf.reduce_mean(tf.nn.relu(convolution(maps, kernel)) ** 2)
        return tape.gradient(loss, [kernel, maps])

    return lambda: [value.numpy() for value in gradients()]


if __name__ == "__main__":
    main()
