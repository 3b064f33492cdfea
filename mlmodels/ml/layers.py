"""The network's layers and their shapes, as plain data that needs no framework.

The specification's network is VGG16 without its top, global average pooling, dropout and one dense
layer. `variables` counts its layers with weights from the output: 1 is the dense layer (here the
`HEAD`), 2 adds block5_conv3, 4 adds the rest of block5, 14 is the whole network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HEAD: Final = "head"
EMBEDDING_SIZE: Final = 512
"""Channels of the last convolution, averaged over the feature maps."""


@dataclass(frozen=True)
class Convolution:
    """A 3x3 convolution of VGG16 (stride 1, padding "same", ReLU)."""

    name: str
    inputs: int
    """Channels that it takes."""
    outputs: int
    """Channels that it returns."""
    pooled: bool
    """Whether 2x2 max pooling follows."""


def _vgg16() -> tuple[Convolution, ...]:
    layers = []
    inputs = 3
    for block, (count, outputs) in enumerate(
        [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], start=1
    ):
        for index in range(1, count + 1):
            name = f"block{block}_conv{index}"
            layers.append(Convolution(name, inputs, outputs, pooled=index == count))
            inputs = outputs
    return tuple(layers)


CONVOLUTIONS: Final = _vgg16()
"""The 13 convolutions of VGG16, configuration D of Simonyan & Zisserman 2014 (arXiv:1409.1556)."""

TRAINABLE_LAYERS: Final = len(CONVOLUTIONS) + 1
"""All layers that have weights: the convolutions and the head."""


def frozen_convolutions(variables: int) -> int:
    """Return how many convolutions, from the input, are not trained when `variables` layers are.

    `variables` is 1 to 14, the result 13 to 0. The result is also the *cut*: features at it never
    change during a training. Raises `ValueError` for a number outside of 1 to 14.
    """
    if not 1 <= variables <= TRAINABLE_LAYERS:
        raise ValueError(
            f"The number of trained layers must be from 1 to {TRAINABLE_LAYERS}, not {variables}."
        )
    return TRAINABLE_LAYERS - variables


def trained_layers(variables: int) -> tuple[str, ...]:
    """Return the names of the last `variables` layers (1 to 14), in the order of the network."""
    cut = frozen_convolutions(variables)
    return (*(layer.name for layer in CONVOLUTIONS[cut:]), HEAD)


def feature_shape(cut: int, input_size: int) -> tuple[int, ...]:
    """Return the shape of the features after `cut` convolutions and the pooling that follows them.

    It is the photo's [size, size, 3] at cut 0, the pooled embedding's [512] at 13, and
    [h, w, channels] in between. `input_size` is in pixels.
    """
    if cut == len(CONVOLUTIONS):
        return (EMBEDDING_SIZE,)
    return _maps_shape(cut, input_size)


def feature_maps_shape(input_size: int) -> tuple[int, ...]:
    """Return the shape [h, w, 512] of the maps after the last convolution and its max pooling."""
    return _maps_shape(len(CONVOLUTIONS), input_size)


def _maps_shape(convolutions: int, input_size: int) -> tuple[int, ...]:
    side, channels = input_size, 3
    for layer in CONVOLUTIONS[:convolutions]:
        channels = layer.outputs
        if layer.pooled:
            side //= 2
    return (side, side, channels)


def tensor_shapes(layer: str, n_labels: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer's tensors by name, for example "block5_conv1/kernel".

    `n_labels` only affects the head. Raises `ValueError` for a layer that the network does not
    have.
    """
    if layer == HEAD:
        return {
            f"{HEAD}/kernel": (EMBEDDING_SIZE, n_labels),
            f"{HEAD}/bias": (n_labels,),
        }
    for convolution in CONVOLUTIONS:
        if convolution.name == layer:
            return {
                f"{layer}/kernel": (3, 3, convolution.inputs, convolution.outputs),
                f"{layer}/bias": (convolution.outputs,),
            }
    raise ValueError(f"The network has no layer named {layer!r}.")
