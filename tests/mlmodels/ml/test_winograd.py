"""Winograd's convolution compared with TensorFlow's own."""

import numpy as np
import pytest


@pytest.mark.parametrize("size", [1, 2, 7, 14])
def test_outputs_and_gradients_equal_those_of_a_convolution(size):
    import tensorflow as tf

    from mlmodels.ml.winograd import convolve

    rng = np.random.default_rng(size)
    maps = tf.constant(rng.normal(size=(3, size, size, 5)).astype(np.float32))
    kernel = tf.constant(rng.normal(size=(3, 3, 5, 4)).astype(np.float32))
    weight = rng.normal(size=(3, size, size, 4)).astype(np.float32)

    def output_and_gradients(convolution):
        with tf.GradientTape() as tape:
            tape.watch((maps, kernel))
            output = convolution()
            loss = tf.reduce_sum(weight * output)
        return [np.asarray(value) for value in (output, *tape.gradient(loss, (maps, kernel)))]

    winograd = output_and_gradients(lambda: convolve(maps, kernel))
    tensorflow = output_and_gradients(lambda: tf.nn.conv2d(maps, kernel, 1, "SAME"))
    for value, expected in zip(winograd, tensorflow, strict=True):
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-4 * float(np.abs(expected).max()))


def test_the_layer_has_the_weights_bias_and_activation_of_conv2d():
    import keras

    from mlmodels.ml.winograd import WinogradConv2D

    maps = np.random.default_rng(0).normal(size=(2, 7, 7, 3)).astype(np.float32)
    conv2d = keras.layers.Conv2D(4, 3, padding="same", activation="relu")
    winograd = WinogradConv2D(4, 3, padding="same", activation="relu")
    without_bias = np.asarray(conv2d(maps))
    winograd.build(maps.shape)
    winograd.set_weights([conv2d.kernel, np.arange(4.0)])
    conv2d.set_weights(winograd.get_weights())
    assert (without_bias == 0).any()
    assert np.asarray(winograd(maps)) == pytest.approx(np.asarray(conv2d(maps)), abs=1e-4)
