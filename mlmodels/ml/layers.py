"""The network's layers and their shapes, as plain data that needs no framework.

The network is VGG16 without its top, a pooling layer (`Pooling`), dropout and one dense layer.
`variables` counts its layers with weights from the output: 1 is the dense layer (here the `HEAD`),
2 adds block5_conv3, 4 adds the rest of block5, 14 is the whole network.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

HEAD: Final = "head"
PROJECTION: Final = f"{HEAD}/projection"
"""The tensor [512, d] that projects the last maps' channels before their second order."""
CHANNELS: Final = 512
"""Channels of the last convolution."""


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

BLOCK_ENDS: Final = {3: 7, 4: 10, 5: 13}
"""The number of convolutions up to the end of each block that can be pooled."""
STATISTICS: Final = 3
"""Mean, maximum and standard deviation: numbers that are taken from each channel."""


@dataclass(frozen=True)
class Pooling:
    """How the feature maps become the embedding, a photo's one vector of numbers.

    Without blocks it is the average of the last maps: the specification's network. With blocks it
    is the square root of each channel's statistics over the maps after these blocks, and the
    correlations of the last maps' channels, projected to `second_order` dimensions
    (`pooling.pool`).
    """

    blocks: tuple[int, ...] = ()
    """Of 3, 4 and 5, ascending."""
    second_order: int = 0
    """Dimensions to which the last maps' channels are projected; 0 leaves the second order out."""

    def __post_init__(self) -> None:
        if self.blocks != tuple(block for block in BLOCK_ENDS if block in self.blocks):
            raise ValueError(f"Blocks are 3, 4 and 5, ascending, not {self.blocks}.")
        if not 0 <= self.second_order <= CHANNELS or (self.second_order and not self.blocks):
            raise ValueError(
                f"The second order is 0 to {CHANNELS} dimensions, and 0 without blocks, "
                f"not {self.second_order}."
            )

    @property
    def is_average(self) -> bool:
        """Return whether the embedding is the average of the last maps."""
        return not self.blocks

    @property
    def maps(self) -> tuple[int, ...]:
        """Return the blocks whose maps are pooled, ascending."""
        needs_last = self.is_average or self.second_order > 0
        return (*self.blocks, 5) if needs_last and 5 not in self.blocks else self.blocks

    @property
    def parts(self) -> tuple[int, ...]:
        """Return the sizes of the embedding's parts: the statistics, then the second order."""
        if self.is_average:
            return (CHANNELS,)
        statistics = STATISTICS * sum(block_channels(block) for block in self.blocks)
        pairs = self.second_order * (self.second_order + 1) // 2
        return (statistics, pairs) if pairs else (statistics,)

    @property
    def size(self) -> int:
        """Return the length of the embedding."""
        return sum(self.parts)

    def frozen_size(self, cut: int) -> int:
        """Return how many of the first numbers depend on the first `cut` convolutions alone."""
        if cut == len(CONVOLUTIONS):
            return self.size
        frozen = [block for block in self.blocks if BLOCK_ENDS[block] <= cut]
        return STATISTICS * sum(block_channels(block) for block in frozen)

    def has(self, part: Pooling) -> bool:
        """Return whether the embedding by `part` consists of numbers of this one's."""
        return not part.is_average and (
            set(part.blocks) <= set(self.blocks) and part.second_order in (0, self.second_order)
        )

    def columns(self, part: Pooling) -> np.ndarray:
        """Return the indices, in this embedding, of the numbers that `part` (see `has`) has."""
        indices = np.arange(self.size)
        ends = np.cumsum([STATISTICS * block_channels(block) for block in self.blocks])
        of_block = dict(zip(self.blocks, np.split(indices, ends), strict=False))
        chosen = [of_block[block] for block in part.blocks]
        return np.concatenate([*chosen, indices[ends[-1] :]] if part.second_order else chosen)

    def variants(self) -> list[Pooling]:
        """Return all poolings that this one has, itself first; of an average only itself."""
        orders = sorted({0, self.second_order}, reverse=True)
        return [
            Pooling(blocks, order)
            for count in range(len(self.blocks), 0, -1)
            for blocks in combinations(self.blocks, count)
            for order in orders
        ] or [self]

    def __str__(self) -> str:
        if self.is_average:
            return "average of block 5"
        *others, last = map(str, self.blocks)
        text = f"statistics of blocks {', '.join(others)} and {last}"
        if not others:
            text = f"statistics of block {last}"
        return f"{text}; second order of {self.second_order}" if self.second_order else text


def block_channels(block: int) -> int:
    """Return the number of channels of the maps after a block (3, 4 or 5)."""
    return CONVOLUTIONS[BLOCK_ENDS[block] - 1].outputs


AVERAGE: Final = Pooling()
"""The pooling of the specification's network."""
DEFAULT_POOLING: Final = Pooling((3, 4, 5), second_order=128)
"""The pooling of new versions; cross-validation on the training photos chose it."""

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


def maps_shape(convolutions: int, input_size: int) -> tuple[int, ...]:
    """Return the shape [h, w, channels] of the maps after that many convolutions, 0 to 13.

    Where max pooling follows the last of them, it is included. `input_size` is in pixels.
    """
    side, channels = input_size, 3
    for layer in CONVOLUTIONS[:convolutions]:
        channels = layer.outputs
        if layer.pooled:
            side //= 2
    return (side, side, channels)


def tensor_shapes(layer: str, n_outputs: int, pooling: Pooling) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer's tensors by name, for example "block5_conv1/kernel".

    `n_outputs` and `pooling` only affect the head, which has the standardisation of the embedding
    and the projection of the second order besides the dense layer, where the pooling has
    statistics. Raises `ValueError` for a layer that the network does not have.
    """
    if layer == HEAD:
        shapes: dict[str, tuple[int, ...]] = {
            f"{HEAD}/kernel": (pooling.size, n_outputs),
            f"{HEAD}/bias": (n_outputs,),
        }
        if not pooling.is_average:
            shapes[f"{HEAD}/mean"] = shapes[f"{HEAD}/scale"] = (pooling.size,)
        if pooling.second_order:
            shapes[PROJECTION] = (CHANNELS, pooling.second_order)
        return shapes
    for convolution in CONVOLUTIONS:
        if convolution.name == layer:
            return {
                f"{layer}/kernel": (3, 3, convolution.inputs, convolution.outputs),
                f"{layer}/bias": (convolution.outputs,),
            }
    raise ValueError(f"The network has no layer named {layer!r}.")
