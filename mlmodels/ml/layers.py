"""The network's layers and their shapes, as plain data that needs no framework.

The network is VGG16 without its top, a pooling layer (`Pooling`), dropout and one dense layer.
`variables` counts its layers with weights from the output: 1 is the dense layer (here the `HEAD`),
2 adds block5_conv3, 4 adds the rest of block5, 14 is the whole network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np

HEAD: Final = "head"
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
LAST_BLOCK: Final = 5
STATISTICS: Final = 3
"""Mean, maximum and standard deviation: numbers that are taken from each channel."""


class Segment(NamedTuple):
    """Consecutive numbers of an embedding: of one kind, from the maps after one block."""

    block: int
    is_second_order: bool
    size: int
    """How many numbers."""
    share: float
    """Their share of the squared length of the standardised embedding; all have 1 together."""


@dataclass(frozen=True)
class Pooling:
    """How the feature maps become the embedding, a photo's one vector of numbers.

    Without blocks it is the average of the last maps: the specification's network. With blocks it
    is the square root of each channel's statistics over the maps after these blocks, and the
    correlations of some maps' channels, projected to `second_order` dimensions (`pooling.pool`).
    """

    blocks: tuple[int, ...] = ()
    """Of 3, 4 and 5, ascending."""
    second_order: int = 0
    """Dimensions to which a block's channels are projected; 0 leaves the second order out."""
    second_order_blocks: tuple[int, ...] = (LAST_BLOCK,)
    """Of 4 and 5, ascending: the blocks whose second order is taken, if any is."""
    centre: float = 0.0
    """How far from the middle of the photo places still count (`pooling.place_weights`), in half
    sides, at most 10; 0: all places count alike."""

    def __post_init__(self) -> None:
        if self.blocks != tuple(block for block in BLOCK_ENDS if block in self.blocks):
            raise ValueError(f"Blocks are 3, 4 and 5, ascending, not {self.blocks}.")
        if not 0 <= self.second_order <= CHANNELS or (self.second_order and not self.blocks):
            raise ValueError(
                f"The second order is 0 to {CHANNELS} dimensions, and 0 without blocks, "
                f"not {self.second_order}."
            )
        if self.second_order_blocks not in ((4,), (4, 5), (5,)):
            raise ValueError(
                f"The second order is of blocks 4 and 5, ascending, not {self.second_order_blocks}."
            )
        if not 0 <= self.centre <= 10 or (self.centre and not self.blocks):
            raise ValueError(
                f"The centre is 0 to 10 half sides, and 0 without blocks, not {self.centre}."
            )

    @property
    def is_average(self) -> bool:
        """Return whether the embedding is the average of the last maps."""
        return not self.blocks

    @property
    def projected(self) -> tuple[int, ...]:
        """Return the blocks whose second order the embedding has, ascending."""
        return self.second_order_blocks if self.second_order else ()

    @property
    def maps(self) -> tuple[int, ...]:
        """Return the blocks whose maps are pooled, ascending."""
        if self.is_average:
            return (LAST_BLOCK,)
        return tuple(block for block in BLOCK_ENDS if block in self.blocks + self.projected)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Return the parts of the embedding in their order: block by block, the statistics first.

        Statistics and second order, where there are both, have half of the squared length each.
        """
        if self.is_average:
            return (Segment(LAST_BLOCK, is_second_order=False, size=CHANNELS, share=1.0),)
        halves = 2 if self.projected else 1
        numbers = sum(block_channels(block) for block in self.blocks)
        pairs = self.second_order * (self.second_order + 1) // 2
        segments = []
        for block in self.maps:
            if block in self.blocks:
                channels = block_channels(block)
                share = channels / numbers / halves
                segments.append(Segment(block, False, STATISTICS * channels, share))
            if block in self.projected:
                segments.append(Segment(block, True, pairs, 1 / halves / len(self.projected)))
        return tuple(segments)

    @property
    def size(self) -> int:
        """Return the length of the embedding."""
        return sum(segment.size for segment in self.segments)

    def frozen_size(self, cut: int) -> int:
        """Return how many of the first numbers depend on the first `cut` convolutions alone."""
        return sum(segment.size for segment in self.segments if BLOCK_ENDS[segment.block] <= cut)

    def has(self, part: Pooling) -> bool:
        """Return whether the embedding by `part` consists of numbers of this one's."""
        return (
            not part.is_average
            and part.centre == self.centre
            and set(part.blocks) <= set(self.blocks)
            and set(part.projected) <= set(self.projected)
            and part.second_order in (0, self.second_order)
        )

    def columns(self, part: Pooling) -> np.ndarray:
        """Return the indices, in this embedding, of the numbers that `part` (see `has`) has."""
        ends = np.cumsum([segment.size for segment in self.segments])
        indices = np.split(np.arange(self.size), ends[:-1])
        chosen = {(segment.block, segment.is_second_order) for segment in part.segments}
        return np.concatenate(
            [
                of_segment
                for segment, of_segment in zip(self.segments, indices, strict=True)
                if (segment.block, segment.is_second_order) in chosen
            ]
        )

    def variants(self) -> list[Pooling]:
        """Return all poolings that this one has, itself first; of an average only itself."""
        if self.is_average:
            return [self]
        variants = []
        for blocks in _subsets(self.blocks):
            variants += [
                replace(self, blocks=blocks, second_order_blocks=projected)
                for projected in _subsets(self.projected)
            ]
            variants.append(replace(self, blocks=blocks, second_order=0))
        return list(dict.fromkeys(variants))

    def __str__(self) -> str:
        if self.is_average:
            return "average of block 5"
        text = f"statistics of {_block_names(self.blocks)}"
        if self.projected:
            text += f"; second order of {_block_names(self.projected)} in {self.second_order}"
        return f"{text}; the middle counts more" if self.centre else text


def _subsets(blocks: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the subsets of `blocks` that have any, the largest first."""
    return [subset for count in range(len(blocks), 0, -1) for subset in combinations(blocks, count)]


def _block_names(blocks: tuple[int, ...]) -> str:
    *others, last = map(str, blocks)
    return f"blocks {', '.join(others)} and {last}" if others else f"block {last}"


def projection_name(block: int) -> str:
    """Return the name of the tensor [512, d] that projects a block's channels (4 or 5)."""
    return f"{HEAD}/projection" if block == LAST_BLOCK else f"{HEAD}/projection{block}"


def block_channels(block: int) -> int:
    """Return the number of channels of the maps after a block (3, 4 or 5)."""
    return CONVOLUTIONS[BLOCK_ENDS[block] - 1].outputs


AVERAGE: Final = Pooling()
"""The pooling of the specification's network."""
DEFAULT_POOLING: Final = Pooling(
    (3, 4, 5), second_order=128, second_order_blocks=(4, 5), centre=0.45
)
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
        for block in pooling.projected:
            shapes[projection_name(block)] = (CHANNELS, pooling.second_order)
        return shapes
    for convolution in CONVOLUTIONS:
        if convolution.name == layer:
            return {
                f"{layer}/kernel": (3, 3, convolution.inputs, convolution.outputs),
                f"{layer}/bias": (convolution.outputs,),
            }
    raise ValueError(f"The network has no layer named {layer!r}.")
