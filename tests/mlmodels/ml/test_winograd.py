"""Winograd's convolution beside TensorFlow's own."""

import numpy as np
import pytest


@pytest.mark.parametrize("size", [1, 2, 7, 14])
def test_answers_and_gradients_are_those_of_a_convolution(size):
    import tensorflow as tf

    from mlmodels.ml.winograd import convolve

    rng = np.random.default_rng(size)
    maps = tf.constant(rng.normal(size=(3, size, size, 5)).astype(np.float32))
    kernel = tf.constant(rng.normal(size=(3, 3, 5, 4)).astype(np.float32))
    weight = rng.normal(size=(3, size, size, 4)).astype(np.float32)

    def of(convolution):
        with tf.GradientTape() as tape:
            tape.watch((maps, kernel))
            answer = convolution()
            loss = tf.reduce_sum(weight * answer)
        return [np.asarray(value) for value in (answer, *tape.gradient(loss, (maps, kernel)))]

    ours = of(lambda: convolve(maps, kernel))
    theirs = of(lambda: tf.nn.conv2d(maps, kernel, 1, "SAME"))
    for mine, right in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(right, rel=1e-4, abs=1e-4 * float(np.abs(right).max()))


def test_the_layer_has_a_convolution_s_weights_bias_and_activation():
    import keras

    from mlmodels.ml.winograd import WinogradConv2D

    maps = np.random.default_rng(0).normal(size=(2, 7, 7, 3)).astype(np.float32)
    theirs = keras.layers.Conv2D(4, 3, padding="same", activation="relu")
    ours = WinogradConv2D(4, 3, padding="same", activation="relu")
    right = np.asarray(theirs(maps))
    ours.build(maps.shape)
    ours.set_weights([theirs.kernel, np.arange(4.0)])
    theirs.set_weights(ours.get_weights())
    assert (right == 0).any()
    assert np.asarray(ours(maps)) == pytest.approx(np.asarray(theirs(maps)), abs=1e-4)
