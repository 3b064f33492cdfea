"""The network in Keras: VGG16 without its top, global average pooling, dropout, one dense layer.

The softmax is applied outside (`calibration.softmax`), so that scores can be calibrated. Networks
are built in code; weights are only loaded from plain arrays.

The network takes raw RGB pixels, 0 to 255, and subtracts ImageNet's mean colour, as
`keras.applications.vgg16.preprocess_input` does. VGG16 was trained on BGR, but the channels of the
photos are not reversed, because LiteRT's quantiser gives a reversed tensor a wrong scale. Instead,
the first kernel's channels are reversed when weights are set or read (`_swap_rgb_bgr`).
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from mlmodels.ml.layers import (
    CONVOLUTIONS,
    HEAD,
    TRAINABLE_LAYERS,
    feature_shape,
    frozen_convolutions,
)
from mlmodels.ml.winograd import WinogradConv2D

IMAGENET_MEAN = (123.68, 116.779, 103.939)  # red, green, blue
WINOGRAD_CHANNELS = 512
"""Winograd's algorithm is used from this number of channels. Layers with fewer have more pixels: it
saves less time there and takes more memory.
"""


@keras.saving.register_keras_serializable("champipy")
class ImageNetColours(keras.layers.Layer):
    """Subtract ImageNet's mean colour from RGB pixels [n, h, w, 3], 0 to 255."""

    def call(self, pixels: keras.KerasTensor) -> keras.KerasTensor:
        mean = ops.convert_to_tensor(IMAGENET_MEAN, self.compute_dtype)
        return ops.cast(pixels, self.compute_dtype) - mean


def build_stem(cut: int, input_size: int) -> keras.Model:
    """Return the first `cut` convolutions (1 to 13): pixels [n, size, size, 3] to feature maps.

    At 13, all of them, the maps [n, h, w, 512] are not averaged to the embedding yet.
    """
    pixels = keras.Input((input_size, input_size, 3), name="pixels")
    return keras.Model(pixels, _convolve(ImageNetColours()(pixels), 0, cut), name="stem")


def build_tail(
    cut: int,
    input_size: int,
    n_labels: int,
    *,
    dtype: str = "float32",
    frozen: int = 0,
    dropout: float = 0.0,
    seed: int = 0,
    winograd: bool = False,
) -> keras.Model:
    """Return the layers after the cut: features to ``{"embedding": [n, 512], "logits": [n, k]}``.

    `cut` is 0 (the whole network, from pixels) to 13 (the head only); the features are [n, …] as
    in `layers.feature_shape`. `dtype` is the convolutions' policy, "float32" or "mixed_bfloat16";
    both outputs are float32. The first `frozen` convolutions, counted from the input of the whole
    network as `cut` is, are not trained. `dropout` is the share of pooled features dropped in
    training, `seed` its seed. With `winograd`, for float32 only, layers with `WINOGRAD_CHANNELS`
    or more use Winograd's algorithm: training is faster, and results differ only by rounding.
    """
    features = keras.Input(feature_shape(cut, input_size), name="features")
    x: keras.KerasTensor = features
    if cut == 0:
        x = ImageNetColours(dtype=dtype)(x)
    if cut < len(CONVOLUTIONS):
        x = _convolve(x, cut, len(CONVOLUTIONS), dtype=dtype, winograd=winograd)
        x = keras.layers.GlobalAveragePooling2D(dtype=dtype)(x)
    embedding = keras.layers.Identity(dtype="float32", name="embedding")(x)
    x = keras.layers.Dropout(dropout, seed=seed, dtype="float32")(embedding)
    logits = keras.layers.Dense(n_labels, name=HEAD, dtype="float32")(x)
    tail = keras.Model(features, {"embedding": embedding, "logits": logits}, name="tail")
    for layer in CONVOLUTIONS[cut:frozen]:
        tail.get_layer(layer.name).trainable = False
    return tail


def build_network(weights: Mapping[str, np.ndarray], input_size: int) -> keras.Model:
    """Return the whole network with `weights`, from pixels to embedding and logits.

    `weights` has the backbone's and the head's tensors; the number of labels is that of the head's
    kernel. Raises `ValueError` when a tensor is missing or has another shape.
    """
    network = build_tail(
        frozen_convolutions(TRAINABLE_LAYERS), input_size, weights["head/kernel"].shape[1]
    )
    set_weights(network, weights)
    return network


def get_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Return copies of the model's tensors, float32, by name ("block5_conv1/kernel")."""
    return {
        name: _swap_rgb_bgr(name, variable.numpy().astype(np.float32))
        for name, variable in _variables(model).items()
    }


def set_weights(model: keras.Model, weights: Mapping[str, np.ndarray]) -> None:
    """Set the model's tensors from `weights` by name, ignoring those that it does not have.

    Raises `ValueError` when one is missing or has another shape.
    """
    for name, variable in _variables(model).items():
        if name not in weights:
            raise ValueError(f"The weights lack {name!r}, which the network needs.")
        if weights[name].shape != tuple(variable.shape):
            raise ValueError(
                f"{name!r} has the shape {weights[name].shape}; the network needs "
                f"{tuple(variable.shape)}."
            )
        variable.assign(_swap_rgb_bgr(name, np.asarray(weights[name], dtype=np.float32)))


def _swap_rgb_bgr(name: str, array: np.ndarray) -> np.ndarray:
    """Return the first kernel [3, 3, 3, 64] with its input channels reversed, others unchanged."""
    return array[:, :, ::-1] if name == "block1_conv1/kernel" else array


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    return {
        f"{layer.name}/{variable.name}": variable
        for layer in model.layers
        for variable in layer.weights
        if variable.name != "seed_generator_state"
    }


def _convolve(
    x: keras.KerasTensor, start: int, stop: int, dtype: str = "float32", winograd: bool = False
) -> keras.KerasTensor:
    for layer in CONVOLUTIONS[start:stop]:
        use_winograd = winograd and layer.outputs >= WINOGRAD_CHANNELS
        convolution = WinogradConv2D if use_winograd else keras.layers.Conv2D
        x = convolution(
            layer.outputs, 3, padding="same", activation="relu", name=layer.name, dtype=dtype
        )(x)
        if layer.pooled:
            x = keras.layers.MaxPooling2D(2, dtype=dtype)(x)
    return x
