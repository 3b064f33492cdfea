"""The network in Keras: VGG16 without its top, global average pooling, dropout, one dense layer.

The softmax is applied outside (`calibration.softmax`), so that scores can be calibrated. Networks
are built in code and take weights as plain arrays only.

The network takes raw RGB pixels, 0 to 255. VGG16's own colour handling is inside: ImageNet's mean
colour is subtracted as in `keras.applications.vgg16.preprocess_input`; that VGG16 knows its colours
as BGR is met by turning the first kernel round when weights go in and out (`_turned`), as LiteRT's
quantiser gives a reversed tensor a wrong scale.
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
"""With fewer channels there are more pixels: less is saved, and tiles take more memory."""


@keras.saving.register_keras_serializable("champipy")
class ImageNetColours(keras.layers.Layer):
    """RGB pixels 0..255 [n, h, w, 3] minus ImageNet's mean colour."""

    def call(self, pixels: keras.KerasTensor) -> keras.KerasTensor:
        mean = ops.convert_to_tensor(IMAGENET_MEAN, self.compute_dtype)
        return ops.cast(pixels, self.compute_dtype) - mean


def build_stem(cut: int, input_size: int) -> keras.Model:
    """The first `cut` convolutions (1 to 13): pixels [n, size, size, 3] to feature maps.

    At 13 that is all of them; their maps [n, h, w, 512] are not pooled yet.
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
    """The network from the cut: features [n, …] to ``{"embedding": [n, 512], "logits": [n, k]}``.

    `cut` is 0 (the whole network, from pixels) to 13 (the head alone). `dtype` is what the
    convolutions compute in, "float32" or "mixed_bfloat16"; both outputs are float32. The
    convolutions below number `frozen` (counted from the input of the whole network, as the cut is)
    are not trained. `dropout`, in training only, is the share of the pooled features that is left
    out, `seed` its seed. With `winograd`, for float32 only, layers of `WINOGRAD_CHANNELS` are
    computed by Winograd's algorithm: quicker to train, the same but for rounding.
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
    """The whole network with all its weights, from pixels to embedding and logits.

    `weights` has the backbone's tensors and the head's; the head's kernel tells how many labels
    there are.
    """
    network = build_tail(
        frozen_convolutions(TRAINABLE_LAYERS), input_size, weights["head/kernel"].shape[1]
    )
    set_weights(network, weights)
    return network


def get_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """The model's tensors by name ("block5_conv1/kernel"), float32 copies."""
    return {
        name: _turned(name, variable.numpy().astype(np.float32))
        for name, variable in _variables(model).items()
    }


def set_weights(model: keras.Model, weights: Mapping[str, np.ndarray]) -> None:
    """Give the model the tensors that it has a place for; others in `weights` are left alone.

    Raises `ValueError` when one is missing or has another shape.
    """
    for name, variable in _variables(model).items():
        if name not in weights:
            raise ValueError(f"The weights lack {name!r}, which the network needs.")
        if weights[name].shape != tuple(variable.shape):
            raise ValueError(
                f"{name!r} has the shape {weights[name].shape}, the network needs "
                f"{tuple(variable.shape)}."
            )
        variable.assign(_turned(name, np.asarray(weights[name], dtype=np.float32)))


def _turned(name: str, array: np.ndarray) -> np.ndarray:
    """The first kernel [3, 3, 3, 64] from BGR to RGB or back; any other tensor as it is."""
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
        quick = winograd and layer.outputs >= WINOGRAD_CHANNELS
        convolution = WinogradConv2D if quick else keras.layers.Conv2D
        x = convolution(
            layer.outputs, 3, padding="same", activation="relu", name=layer.name, dtype=dtype
        )(x)
        if layer.pooled:
            x = keras.layers.MaxPooling2D(2, dtype=dtype)(x)
    return x
