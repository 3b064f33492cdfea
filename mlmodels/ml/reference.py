"""Numbers that come with ChampiPy: the projections of the second order, and other species.

The embeddings of photos of other species let a version learn what is none of its labels when its
dataset has no such photos. They belong to ImageNet's convolutions and to poolings that
`DEFAULT_POOLING` has; other networks can't use them. `benchmarks.reference` made the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from mlmodels.ml.layers import DEFAULT_POOLING, Pooling, projection_name
from mlmodels.ml.texts import translatable

FILE: Final = Path(__file__).with_name("reference.safetensors")

NOT_FUNGI: Final = {
    "daisy": translatable("daisy (no fungus)"),
    "lilly": translatable("lily (no fungus)"),
    "orchid": translatable("orchid (no fungus)"),
    "sunflower": translatable("sunflower (no fungus)"),
}
"""Groups that are no fungi, with what people read."""


@dataclass(frozen=True)
class OtherEmbeddings:
    """The embeddings of photos of other species, in several copies each."""

    values: np.ndarray
    """Float32 [copies, m, d]: a size, its mirror image, another size, its mirror image."""
    groups: tuple[str, ...]
    """The genus of each photo, or a name for what is no mushroom."""


def load_projections(pooling: Pooling) -> dict[str, np.ndarray]:
    """Return the projections of `pooling.projected` by their names, float32 [512, d] each.

    Each consists of the first principal components of the channels of a block's maps.
    """
    with safe_open(FILE, framework="numpy") as file:  # the embeddings, 20 MB, are not needed
        return {
            projection_name(block): file.get_tensor(f"projection{block}")[
                :, : pooling.second_order
            ].astype(np.float32)
            for block in pooling.projected
        }


def learnt_groups() -> frozenset[str]:
    """Return the groups of `load_others`: genera in lower case, and other things."""
    with safe_open(FILE, framework="numpy") as file:
        return frozenset(_group_names(file.get_tensor("group_names")))


def group_text(group: str) -> str:
    """Return a group of other species as people read it: "Agaricus", "lily (no fungus)".

    Cards that were written before 0.2.0 have "other agaricus" for it.
    """
    name = group.removeprefix("other ")
    if name.lower() in NOT_FUNGI:
        return NOT_FUNGI[name.lower()]
    return name if " " in name else name[:1].upper() + name[1:]


def load_others(pooling: Pooling = DEFAULT_POOLING) -> OtherEmbeddings:
    """Return the embeddings of other species by `pooling`, which `DEFAULT_POOLING` must have."""
    tensors = load_file(FILE)
    names = _group_names(tensors["group_names"])
    groups = tuple(names[index] for index in tensors["groups"])
    columns = DEFAULT_POOLING.columns(pooling)
    steps = tensors["others"][..., columns].astype(np.float32)
    return OtherEmbeddings(steps * tensors["scales"][columns] + tensors["lowest"][columns], groups)


def _group_names(tensor: np.ndarray) -> list[str]:
    return bytes(tensor).decode().split("\n")
