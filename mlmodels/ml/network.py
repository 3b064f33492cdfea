"""The network in Keras: VGG16 without its top, a pooling layer, dropout, one dense layer.

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
    AVERAGE,
    BLOCK_ENDS,
    CHANNELS,
    CONVOLUTIONS,
    HEAD,
    TRAINABLE_LAYERS,
    Pooling,
    frozen_convolutions,
    maps_shape,
    projection_name,
)
from mlmodels.ml.pooling import EPSILON, place_weights, triangle
from mlmodels.ml.winograd import WinogradConv2D

IMAGENET_MEAN = (123.68, 116.779, 103.939)  # red, green, blue
WINOGRAD_CHANNELS = 512
"""Winograd's algorithm is used from this number of channels. Layers with fewer have more pixels: it
saves less time there and takes more memory.
"""
_SECOND_ORDER = "second_order"
_OF_THE_HEAD = ("standardisation", _SECOND_ORDER)
"""How layers begin whose tensors are the head's by name."""


@keras.saving.register_keras_serializable("champipy")
class ImageNetColours(keras.layers.Layer):
    """Subtract ImageNet's mean colour from RGB pixels [n, h, w, 3], 0 to 255."""

    def call(self, pixels: keras.KerasTensor) -> keras.KerasTensor:
        mean = ops.convert_to_tensor(IMAGENET_MEAN, self.compute_dtype)
        return ops.cast(pixels, self.compute_dtype) - mean


@keras.saving.register_keras_serializable("champipy")
class Statistics(keras.layers.Layer):
    """`pooling.statistics` of maps [n, h, w, c]: float32 [n, 3 c]."""

    def __init__(self, centre: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._centre = centre

    def call(self, maps: keras.KerasTensor) -> keras.KerasTensor:
        maps = ops.cast(maps, "float32")
        weights = _place_weights(maps.shape[1], self._centre)
        mean = ops.sum(maps * weights, axis=(1, 2), keepdims=True)
        variance = ops.sum(ops.square(maps - mean) * weights, axis=(1, 2))
        deviation = ops.sqrt(ops.maximum(variance, 0) + EPSILON)
        highest = ops.max(maps, axis=(1, 2))
        values = ops.concatenate([mean[:, 0, 0], highest, deviation], axis=-1)
        return ops.sqrt(values + EPSILON)


@keras.saving.register_keras_serializable("champipy")
class SecondOrder(keras.layers.Layer):
    """`pooling.second_order` of maps [n, h, w, 512]: float32 [n, size (size + 1) / 2]."""

    def __init__(self, block: int, size: int, centre: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._tensor = projection_name(block).removeprefix(f"{HEAD}/")
        self._size = size
        self._centre = centre

    def build(self, shape: tuple[int, ...]) -> None:
        self.projection = self.add_weight(
            shape=(CHANNELS, self._size), name=self._tensor, trainable=False
        )

    def call(self, maps: keras.KerasTensor) -> keras.KerasTensor:
        maps = ops.cast(maps, "float32")
        places = maps.shape[1] * maps.shape[2]
        weighted = maps * np.sqrt(places * _place_weights(maps.shape[1], self._centre))
        projected = ops.reshape(weighted, (-1, places, CHANNELS))
        projected = ops.matmul(projected, self.projection)
        products = ops.matmul(ops.transpose(projected, (0, 2, 1)), projected)
        rows, columns, factors = triangle(self._size)
        flat = ops.reshape(products, (-1, self._size**2))
        chosen = ops.take(flat, rows * self._size + columns, axis=1)
        rooted = ops.sign(chosen) * ops.sqrt(ops.abs(chosen) + EPSILON) * factors
        return rooted / ops.sqrt(ops.sum(ops.square(rooted), axis=-1, keepdims=True) + EPSILON)


@keras.saving.register_keras_serializable("champipy")
class Standardisation(keras.layers.Layer):
    """The embedding [n, d] less a fixed mean, times a fixed scale."""

    def build(self, shape: tuple[int, ...]) -> None:
        size = (shape[-1],)
        self.mean = self.add_weight(shape=size, name="mean", trainable=False)
        self.scale = self.add_weight(shape=size, name="scale", trainable=False, initializer="ones")

    def call(self, embedding: keras.KerasTensor) -> keras.KerasTensor:
        return (embedding - self.mean) * self.scale


def build_stem(cut: int, input_size: int, pooling: Pooling = AVERAGE) -> keras.Model:
    """Return the first `cut` convolutions (1 to 13): pixels [n, size, size, 3] to feature maps.

    The result is a dictionary: "features", the maps at the cut, and "block3", "block4" and
    "block5", the maps after those of `pooling.maps` that are before the cut. At 13, nothing needs
    "features", and it is left out.
    """
    pixels = keras.Input((input_size, input_size, 3), name="pixels")
    x, blocks = _convolve(ImageNetColours()(pixels), 0, cut)
    outputs = {f"block{block}": blocks[block] for block in pooling.maps if block in blocks}
    if cut < len(CONVOLUTIONS):
        outputs["features"] = x
    return keras.Model(pixels, outputs, name="stem")


def build_tail(
    cut: int,
    input_size: int,
    n_outputs: int,
    pooling: Pooling = AVERAGE,
    *,
    dtype: str = "float32",
    frozen: int = 0,
    dropout: float = 0.0,
    seed: int = 0,
    winograd: bool = False,
) -> keras.Model:
    """Return the layers after the cut: features to ``{"embedding": [n, d], "logits": [n, k]}``.

    `cut` is 0 (the whole network, from pixels) to 13 (the head only). The input is a dictionary:
    "maps", the maps at the cut as in `layers.maps_shape` (missing at 13), and "pooled", the first
    `pooling.frozen_size(cut)` numbers of the embedding (missing if there are none). `dtype` is the
    convolutions' policy, "float32" or "mixed_bfloat16"; both outputs are float32. The first
    `frozen` convolutions, counted from the input of the whole network as `cut` is, are not trained.
    `dropout` is the share of the embedding dropped in training, `seed` its seed. With `winograd`,
    for float32 only, layers with `WINOGRAD_CHANNELS` or more use Winograd's algorithm: training is
    faster, and results differ only by rounding.
    """
    inputs: dict[str, keras.KerasTensor] = {}
    parts: list[keras.KerasTensor] = []
    if frozen_size := pooling.frozen_size(cut):
        inputs["pooled"] = keras.Input((frozen_size,), name="pooled")
        parts.append(inputs["pooled"])
    if cut < len(CONVOLUTIONS):
        x = inputs["maps"] = keras.Input(maps_shape(cut, input_size), name="maps")
        if cut == 0:
            x = ImageNetColours(dtype=dtype)(x)
        _, blocks = _convolve(x, cut, len(CONVOLUTIONS), dtype=dtype, winograd=winograd)
        parts += _pooled(blocks, pooling)
    joined = keras.layers.Concatenate(dtype="float32")(parts) if parts[1:] else parts[0]
    embedding = keras.layers.Identity(dtype="float32", name="embedding")(joined)
    x = embedding
    if not pooling.is_average:
        x = Standardisation(dtype="float32", name="standardisation")(x)
    x = keras.layers.Dropout(dropout, seed=seed, dtype="float32")(x)
    logits = keras.layers.Dense(n_outputs, name=HEAD, dtype="float32")(x)
    tail = keras.Model(inputs, {"embedding": embedding, "logits": logits}, name="tail")
    for layer in CONVOLUTIONS[cut:frozen]:
        tail.get_layer(layer.name).trainable = False
    return tail


def _pooled(blocks: Mapping[int, keras.KerasTensor], pooling: Pooling) -> list[keras.KerasTensor]:
    """Return the embedding's parts that come from the maps after the given blocks."""
    if pooling.is_average:
        return [keras.layers.GlobalAveragePooling2D(dtype="float32")(blocks[5])]
    parts = []
    for block in pooling.maps:
        if block in blocks and block in pooling.blocks:
            parts.append(Statistics(pooling.centre, dtype="float32")(blocks[block]))
        if block in blocks and block in pooling.projected:
            layer = SecondOrder(
                block, pooling.second_order, pooling.centre, dtype="float32",
                name=f"{_SECOND_ORDER}{block}",
            )  # fmt: skip
            parts.append(layer(blocks[block]))
    return parts


def _place_weights(side: int, centre: float) -> np.ndarray:
    """Return `pooling.place_weights` for maps [n, side, side, c]: float32 [1, side, side, 1]."""
    weights = place_weights(side, centre)
    if weights is None:
        return np.full((1, side, side, 1), 1 / side**2, np.float32)
    return weights.reshape(1, side, side, 1)


def build_network(
    weights: Mapping[str, np.ndarray], input_size: int, pooling: Pooling = AVERAGE
) -> keras.Model:
    """Return the whole network with `weights`, from ``{"maps": pixels}`` to embedding and logits.

    `weights` has the backbone's and the head's tensors; the number of outputs is that of the head's
    kernel. Raises `ValueError` when a tensor is missing or has another shape.
    """
    network = build_tail(
        frozen_convolutions(TRAINABLE_LAYERS), input_size, weights["head/kernel"].shape[1], pooling
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
    """Return the model's variables by the names of the tensors (`layers.tensor_shapes`)."""
    return {
        f"{HEAD if layer.name.startswith(_OF_THE_HEAD) else layer.name}/{variable.name}": variable
        for layer in model.layers
        for variable in layer.weights
        if variable.name != "seed_generator_state"
    }


def _convolve(
    x: keras.KerasTensor, start: int, stop: int, dtype: str = "float32", winograd: bool = False
) -> tuple[keras.KerasTensor, dict[int, keras.KerasTensor]]:
    """Return the maps after the convolutions from `start` to `stop`, and those after each block."""
    blocks = {}
    for number, layer in enumerate(CONVOLUTIONS[start:stop], start + 1):
        use_winograd = winograd and layer.outputs >= WINOGRAD_CHANNELS
        convolution = WinogradConv2D if use_winograd else keras.layers.Conv2D
        x = convolution(
            layer.outputs, 3, padding="same", activation="relu", name=layer.name, dtype=dtype
        )(x)
        if layer.pooled:
            x = keras.layers.MaxPooling2D(2, dtype=dtype)(x)
            blocks.update({block: x for block, end in BLOCK_ENDS.items() if end == number})
    return x, blocks
