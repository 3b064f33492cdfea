"""Measures how faithful explanations are, by deletion and insertion (Petsiuk et al. 2018, "RISE").

    python -m benchmarks.explanations PHOTOS [--version FOLDER]

PHOTOS is the folder that `benchmarks.reference` reads: ten evaluation photos of each species are
taken, none of them near a training photo. Deletion covers the pixels of a photo in the order of
their values in the map, the highest first, and insertion uncovers a covered photo in that order.
Each is measured by the mean score of the explained species on the way, from 0 to 1: lower is better
for deletion, higher for insertion. Covered pixels are those of the blurred photo and then, in a
second round, its mean colour. The explained species is the one with the highest score.

Beside the explanation there is a map of random numbers, on the same grid and interpolated in the
same way, and one that falls off from the middle of the photo, where the mushroom mostly is. The
differences are paired by photo, with bootstrap intervals.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.reference import rows_of
from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.calibration import softmax
from mlmodels.ml.preprocessing import decode_photo, to_input
from predictions.overlays import overlay

PRETRAINED = Path(__file__).parents[1] / "mlmodels" / "pretrained"
PHOTOS_OF_A_SPECIES = 10
STEPS = 10
"""Portions in which the pixels are covered."""
BLUR_RADIUS = 12.0
"""Of the covered pixels, in pixels of the network's input (224 a side)."""
RESAMPLES = 2000
MAPS = ("explanation", "random", "centre")


@dataclass(frozen=True)
class Example:
    """A photo as the engine takes it, and the maps that are compared on it."""

    pixels: np.ndarray
    """Uint8 [size, size, 3]."""
    species: int
    maps: dict[str, np.ndarray]
    """For each of `MAPS`: float [size, size]."""


def main() -> None:
    """Print the time for an explanation, and deletion and insertion for each kind of map."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--version", type=Path, default=PRETRAINED)
    arguments = parser.parse_args()
    artifact = read_artifact(arguments.version)
    card, engine = artifact.card, artifact.load_engine()
    generator = np.random.default_rng(0)

    examples, seconds = [], []
    for path in chosen_photos(arguments.photos):
        data = path.read_bytes()
        pixels = to_input(decode_photo(data), card.input_size)
        species = int(engine.score(pixels).logits[: len(card.labels)].argmax())
        started = time.perf_counter()
        image = decode_photo(data)
        pixels = to_input(image, card.input_size)
        values = engine.explain(
            pixels, temperature=card.temperature, n_labels=len(card.labels), species=species
        )
        overlay(image, values)
        seconds.append(time.perf_counter() - started)
        maps = {
            "explanation": interpolated(values, card.input_size),
            "random": interpolated(generator.normal(size=values.shape), card.input_size),
            "centre": centre_map(card.input_size),
        }
        examples.append(Example(pixels, species, maps))
    print(
        f"{len(examples)} explanations with one thread, decoding and picture included: median "
        f"{1000 * np.median(seconds):.0f} ms, longest {1000 * max(seconds):.0f} ms",
        flush=True,
    )

    def scores(pixels: np.ndarray) -> np.ndarray:
        return softmax(engine.score(pixels).logits[: len(card.labels)], card.temperature)

    for name, cover in (("blurred", blurred), ("mean colour", mean_colour)):
        areas = np.array([measured(example, cover(example.pixels), scores) for example in examples])
        report(name, areas)


def chosen_photos(photos: Path) -> list[Path]:
    """Return the first photos of each species, by their SHA-256."""
    by_species: dict[str, list[Path]] = {}
    for row in sorted(rows_of(photos, "evaluation"), key=lambda row: row["sha256"]):
        by_species.setdefault(row["species"], []).append(photos / row["path"])
    return [path for paths in by_species.values() for path in paths[:PHOTOS_OF_A_SPECIES]]


def interpolated(values: np.ndarray, size: int) -> np.ndarray:
    """Return a map [rows, columns] as float32 [size, size], as `overlay` interpolates it."""
    field = Image.fromarray(values.astype(np.float32))
    return np.asarray(field.resize((size, size), Image.Resampling.BICUBIC))


def centre_map(size: int) -> np.ndarray:
    """Return minus the squared distance from the middle, [size, size]."""
    offset = np.arange(size) - (size - 1) / 2
    return -(offset[:, None] ** 2 + offset[None, :] ** 2)


def blurred(pixels: np.ndarray) -> np.ndarray:
    """Return a photo without its details, uint8 [size, size, 3]."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(BLUR_RADIUS)))


def mean_colour(pixels: np.ndarray) -> np.ndarray:
    """Return a photo of one colour, uint8 [size, size, 3]."""
    return np.broadcast_to(np.rint(pixels.mean(axis=(0, 1))), pixels.shape).astype(np.uint8)


def measured(
    example: Example, covered: np.ndarray, scores: Callable[[np.ndarray], np.ndarray]
) -> list[list[float]]:
    """Return deletion and insertion for each of `MAPS`, [maps, 2]."""
    whole, nothing = (scores(pixels)[example.species] for pixels in (example.pixels, covered))
    result = []
    for name in MAPS:
        order = np.argsort(-example.maps[name], axis=None, kind="stable")
        areas = []
        for start, end, first, last in (
            (example.pixels, covered, whole, nothing),
            (covered, example.pixels, nothing, whole),
        ):
            curve = [first]
            for step in range(1, STEPS):
                mixed = start.reshape(-1, 3).copy()
                changed = order[: step * len(order) // STEPS]
                mixed[changed] = end.reshape(-1, 3)[changed]
                curve.append(scores(mixed.reshape(start.shape))[example.species])
            curve.append(last)
            areas.append(float(np.trapezoid(curve) / STEPS))
        result.append(areas)
    return result


def report(name: str, areas: np.ndarray) -> None:
    """Print the means of `areas` [photos, maps, 2], and the explanation's lead over the others."""
    generator = np.random.default_rng(0)
    resampled = generator.integers(0, len(areas), (RESAMPLES, len(areas)))
    print(f"{len(areas)} photos, covered pixels {name}:")
    for index, map_name in enumerate(MAPS):
        line = f"  {map_name}:"
        for curve, curve_name in enumerate(("deletion", "insertion")):
            line += f" {curve_name} {areas[:, index, curve].mean():.3f}"
            if index:
                lead = areas[:, 0, curve] - areas[:, index, curve]
                low, high = np.percentile(lead[resampled].mean(axis=1), [2.5, 97.5])
                line += f" (explanation {lead.mean():+.3f}, {low:+.3f} to {high:+.3f})"
        print(line, flush=True)


if __name__ == "__main__":
    main()
