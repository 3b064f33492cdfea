"""Makes `mlmodels/ml/reference.safetensors`: the projections, and embeddings of other species.

    python -m benchmarks.reference PHOTOS WEIGHTS

PHOTOS is a folder with ``manifest.csv`` and the photos that it lists; WEIGHTS is a file of VGG16's
ImageNet convolutions. Of the mushrooms of other species, those of every second genus are left out,
as is every second kind of other things: a version can be measured by them
(`evaluation_photos`).
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from mlmodels.ml.backbone import load_backbone
from mlmodels.ml.dataset import OtherPhoto
from mlmodels.ml.features import Stem, extract_features, open_cache, photo_pixels
from mlmodels.ml.layers import CHANNELS, DEFAULT_POOLING, Pooling, projection_name
from mlmodels.ml.reference import FILE
from mlmodels.ml.sizes import longer_sides, two_sizes


def rows_of(photos: Path, split: str) -> list[dict[str, str]]:
    """Return the manifest's rows of one split."""
    with (photos / "manifest.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["split"] == split]


def group_of(row: dict[str, str]) -> str:
    """Return the genus of a mushroom, or the kind of another thing, in lower case."""
    path = Path(row["path"])
    name = path.parent.name if row["split"] == "other_species_mo" else path.stem
    first = name.split("_")[0].lower()
    return first.rstrip("s") if row["split"] == "not_mushrooms" else first


def split_groups(photos: Path) -> tuple[set[str], set[str]]:
    """Return the groups to learn from, and those to measure by."""
    learnt = {group_of(row) for row in rows_of(photos, "other_species_mo")}
    measured = set()
    for split in ("other_species", "not_mushrooms"):
        new = sorted({group_of(row) for row in rows_of(photos, split)} - learnt)
        learnt |= set(new[::2])
        measured |= set(new[1::2])
    return learnt, measured


def photos_of(photos: Path, split: str, groups: set[str] | None = None) -> tuple[OtherPhoto, ...]:
    """Return a split's photos, those of `groups` alone if they are given."""

    def read(row: dict[str, str]) -> Callable[[], bytes]:
        return (photos / row["path"]).read_bytes

    return tuple(
        OtherPhoto(row["sha256"], group_of(row), read(row))
        for row in rows_of(photos, split)
        if groups is None or group_of(row) in groups
    )


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("weights", type=Path)
    arguments = parser.parse_args()
    backbone = load_backbone(Path(tempfile.gettempdir()), weights_file=arguments.weights)
    training = photos_of(arguments.photos, "train")
    learnt, _ = split_groups(arguments.photos)
    others = [
        photo
        for split in ("other_species_mo", "other_species", "not_mushrooms")
        for photo in photos_of(arguments.photos, split, learnt)
    ]
    with tempfile.TemporaryDirectory() as folder:
        maps_only = Pooling((3, 4, 5))
        root = Path(folder)
        stem_of = open_cache(root, backbone, training, cut=13, input_size=224, pooling=maps_only)
        assert stem_of.stem is not None
        stem = Stem(stem_of.stem)
        projections = principal_components(
            (stem(photo_pixels(photo, 224)) for photo in training), DEFAULT_POOLING
        )
        cache = open_cache(
            root,
            {**backbone, **{projection_name(block): projections[block] for block in projections}},
            training,
            cut=13,
            input_size=224,
            pooling=DEFAULT_POOLING,
        )
        copies = []
        for of_size in two_sizes(others, longer_sides(training)):
            pairs = [(photo, view) for view in range(2) for photo in of_size]
            extract_features(
                cache,
                pairs,
                threads=os.cpu_count() or 1,
                progress=lambda done, total: print(f"\r{done} of {total}", end="", flush=True),
                should_stop=lambda _done: False,
            )
            values = cache.load([(photo.sha256, view) for photo, view in pairs])["pooled"]
            copies.append(values.reshape(2, len(others), -1))
    groups = [photo.group for photo in others]
    names = sorted(set(groups))
    values = np.concatenate(copies).astype(np.float32)
    lowest, highest = values.min(axis=(0, 1)), values.max(axis=(0, 1))
    scales = np.maximum(highest - lowest, 1e-9) / 255
    save_file(
        {
            **{
                f"projection{block}": array.astype(np.float16)
                for block, array in projections.items()
            },
            # Eight bits a number: half the file, and heads that differ in nothing that counts.
            "others": ((values - lowest) / scales).round().astype(np.uint8),
            "lowest": lowest,
            "scales": scales,
            "groups": np.array([names.index(group) for group in groups], np.uint16),
            "group_names": np.frombuffer("\n".join(names).encode(), np.uint8).copy(),
        },
        FILE,
    )
    FILE.chmod(0o644)
    print(f"\n{FILE}: {len(others)} photos of {len(names)} groups, {FILE.stat().st_size} bytes")


def principal_components(
    photos: Iterable[Mapping[str, np.ndarray]], pooling: Pooling
) -> dict[int, np.ndarray]:
    """Return the first principal components of the channels of each block in `pooling.projected`.

    `photos` are the maps of each photo by name ("block5"). The components are columns, float32
    [512, `pooling.second_order`], rounded to float16 as the file holds them. The sign of each is
    such that its largest number is positive.
    """
    sums = {block: np.zeros(CHANNELS) for block in pooling.projected}
    products = {block: np.zeros((CHANNELS, CHANNELS)) for block in pooling.projected}
    places = dict.fromkeys(pooling.projected, 0)
    for maps in photos:
        for block in pooling.projected:
            values = maps[f"block{block}"].reshape(-1, CHANNELS).astype(np.float64)
            sums[block] += values.sum(axis=0)
            products[block] += values.T @ values
            places[block] += len(values)
    projections = {}
    for block, count in places.items():
        mean = sums[block] / count
        _, vectors = np.linalg.eigh(products[block] / count - np.outer(mean, mean))
        components = vectors[:, ::-1][:, : pooling.second_order]
        largest = components[np.abs(components).argmax(axis=0), range(pooling.second_order)]
        projections[block] = (components * np.sign(largest)).astype(np.float16).astype(np.float32)
    return projections


if __name__ == "__main__":
    main()
