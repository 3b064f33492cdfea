"""What the network is made of, as plain data: no framework is needed to read this.

The specification's network is VGG16 without its top, global average pooling, dropout and one dense
layer. Its layers that have weights are counted from the output: 1 is the dense layer (here the
`HEAD`), 2 is block5_conv3, 4 takes in the whole of block5, 14 is everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HEAD: Final = "head"
EMBEDDING_SIZE: Final = 512


@dataclass(frozen=True)
class Convolution:
    """A 3x3 convolution of VGG16 (stride 1, padding "same", ReLU)."""

    name: str
    inputs: int
    outputs: int
    pooled: bool
    """Whether a 2x2 maximum pooling follows."""


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


def frozen_convolutions(variables: int) -> int:
    """How many convolutions, from the input, stay as they are when `variables` layers are trained.

    `variables` is 1 to 14; the answer, 13 to 0, is also the *cut*: features below it never change
    in training. Raises `ValueError` outside that range.
    """
    if not 1 <= variables <= TRAINABLE_LAYERS:
        raise ValueError(
            f"The number of trained layers must be from 1 to {TRAINABLE_LAYERS}, not {variables}."
        )
    return TRAINABLE_LAYERS - variables


def trained_layers(variables: int) -> tuple[str, ...]:
    """The names of the `variables` layers nearest to the output, in the order of the network."""
    cut = frozen_convolutions(variables)
    return (*(layer.name for layer in CONVOLUTIONS[cut:]), HEAD)


def feature_shape(cut: int, input_size: int) -> tuple[int, ...]:
    """The shape of what leaves the first `cut` convolutions (and the pooling behind them).

    At 0 it is the photo [size, size, 3], at 13 the pooled embedding [512], else [h, w, channels].
    """
    if cut == len(CONVOLUTIONS):
        return (EMBEDDING_SIZE,)
    return _maps_shape(cut, input_size)


def feature_maps_shape(input_size: int) -> tuple[int, ...]:
    """The shape [h, w, 512] of what leaves the last convolution and its pooling."""
    return _maps_shape(len(CONVOLUTIONS), input_size)


def _maps_shape(convolutions: int, input_size: int) -> tuple[int, ...]:
    side, channels = input_size, 3
    for layer in CONVOLUTIONS[:convolutions]:
        channels = layer.outputs
        if layer.pooled:
            side //= 2
    return (side, side, channels)


def tensor_shapes(layer: str, n_labels: int) -> dict[str, tuple[int, ...]]:
    """The tensors that hold a layer's weights: names ("block5_conv1/kernel") and shapes.

    Raises `ValueError` for a layer that the network does not have.
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
