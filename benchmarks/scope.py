"""Measures what a version says of photos that it has not learnt from: accuracy, scope, names.

    python -m benchmarks.scope PHOTOS [--version FOLDER]

PHOTOS is the folder that `benchmarks.reference` reads. The photos of other species are those of
genera that the version did not learn from (`benchmarks.reference.split_groups`), in the sizes of
the ten's evaluation photos. Three controls follow: the ten's evaluation photos at half their size,
photos of the ten from other sources, and what is no mushroom.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.reference import photos_of, rows_of, split_groups
from mlmodels.ml.answer_measures import measure
from mlmodels.ml.answers import scope_scores
from mlmodels.ml.dataset import OtherPhoto
from mlmodels.ml.features import AnyPhoto, photo_pixels
from mlmodels.ml.metrics import auroc
from mlmodels.ml.metrics.shares import wilson_interval
from mlmodels.ml.serving import ServedVersion, load_version
from mlmodels.ml.sizes import ResizedPhoto, longer_sides, two_sizes

PRETRAINED = Path(__file__).parents[1] / "mlmodels" / "pretrained"
SMALL_SIDE = 160


def outputs(version: ServedVersion, photos: Sequence[AnyPhoto]) -> tuple[np.ndarray, np.ndarray]:
    """Return the engine's logits [n, k + 1] and lognorms [n]."""
    rows = [version.engine.score(photo_pixels(photo, version.card.input_size)) for photo in photos]
    return np.stack([row.logits for row in rows]), np.array([row.lognorm for row in rows])


def labelled(photos: Path, labels: tuple[str, ...]) -> tuple[list[OtherPhoto], np.ndarray]:
    """Return the ten's evaluation photos, and their labels."""
    chosen: list[OtherPhoto] = []
    truth: list[int] = []
    for split in ("evaluation", "evaluation_near_train"):
        chosen += photos_of(photos, split)
        truth += [labels.index(row["species"]) for row in rows_of(photos, split)]
    return chosen, np.array(truth)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--version", type=Path, default=PRETRAINED)
    arguments = parser.parse_args()
    version = load_version(arguments.version)
    calibration = version.card.calibration
    assert calibration is not None
    ten, truth = labelled(arguments.photos, version.labels)
    sides = longer_sides(ten)
    _, measured = split_groups(arguments.photos)
    fungi = photos_of(arguments.photos, "other_species", measured)
    things = photos_of(arguments.photos, "not_mushrooms", measured)

    started = time.perf_counter()
    logits, lognorms = outputs(version, ten)
    milliseconds = 1000 * (time.perf_counter() - started) / len(ten)
    share("right", logits[:, : len(version.labels)].argmax(axis=1) == truth)
    print(f"{milliseconds:.1f} ms a photo with one thread, decoding included")

    scope = scope_scores(logits, lognorms, calibration)
    threshold = calibration.scope.threshold
    share("of the ten kept", scope >= threshold)
    small = [ResizedPhoto(photo, SMALL_SIDE) for photo in ten]
    share(f"of the ten kept, {SMALL_SIDE} pixels", scope_of(version, small) >= threshold)
    elsewhere = photos_of(arguments.photos, "ten_other_source")
    share("of the ten from other sources kept", scope_of(version, elsewhere) >= threshold)
    for name, others in (("other species", fungi), ("no mushrooms", things)):
        resized, _ = two_sizes(others, sides)
        of_others = scope_of(version, resized)
        area = auroc(scope, of_others)
        low, high = area.ci95
        print(f"{name}: AUROC {area.value:.3f} ({low:.3f} to {high:.3f}), {len(others)} photos")
        share(f"of {name} passed", of_others >= threshold)
        share(f"of {name} passed in their own sizes", scope_of(version, others) >= threshold)

    resized, _ = two_sizes(fungi, sides)
    other_logits, other_lognorms = outputs(version, resized)
    figures = measure(
        calibration,
        np.concatenate([logits, other_logits]),
        np.concatenate([lognorms, other_lognorms]),
        np.concatenate([truth, np.full(len(fungi), len(version.labels))]),
        np.array([f"find {i}" for i in range(len(ten))] + [photo.group for photo in fungi]),
    )
    for name in ("calibration_error", "calibration_error_of_names", "plausible", "verdicts"):
        print(f"{name}: {figures[name]}")
    print(f"median scope of the ten: {statistics.median(scope):.1%}")


def scope_of(version: ServedVersion, photos: Sequence[AnyPhoto]) -> np.ndarray:
    """Return the scope score of each photo, 0 to 1."""
    calibration = version.card.calibration
    assert calibration is not None
    return scope_scores(*outputs(version, photos), calibration)


def share(name: str, is_so: np.ndarray) -> None:
    """Print a share with its 95 % interval."""
    low, high = wilson_interval(int(is_so.sum()), len(is_so))
    print(f"{name}: {is_so.mean():.1%} of {len(is_so)} ({low:.1%} to {high:.1%})", flush=True)


if __name__ == "__main__":
    main()
