"""Measures what the size of a photo changes: the same photos, shrunk as Mushroom Observer does.

    python -m benchmarks.photo_sizes PHOTOS

PHOTOS is the folder that `benchmarks.reference` reads. Photos of the species exist at 320 pixels at
most, photos of other species at 640. So the evaluation photos of 320 pixels are compared with
themselves at 160, and those of other species with themselves at 320 and 160. The version is the one
in `mlmodels/pretrained`.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.scope import share
from mlmodels.ml.answers import Answer, answer
from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.metrics import mcnemar_p_value
from mlmodels.ml.preprocessing import decode_photo, to_input

PRETRAINED = Path(__file__).parent.parent / "mlmodels" / "pretrained"
JPEG_QUALITY = 90


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    photos: Path = parser.parse_args().photos
    measure(photos, "evaluation", 320, (160,))
    measure(photos, "other_species_mo", 640, (320, 160))


def measure(photos: Path, folder: str, size: int, smaller: Sequence[int]) -> None:
    """Print figures for the photos whose longer side is `size`, and for them at smaller sizes."""
    files = [
        file
        for file in sorted((photos / folder).glob("*/*.*"))
        if max(Image.open(file).size) == size
    ]
    print(f"--- {len(files)} photos of {folder} with {size} pixels")
    artifact = read_artifact(PRETRAINED)
    labels = list(artifact.card.labels)
    engine = artifact.load_engine(1)
    calibration = artifact.card.calibration
    assert calibration is not None
    truth = np.array([_index(labels, file.parent.name.replace("_", " ")) for file in files])
    right: dict[int, np.ndarray] = {}
    for each in (size, *smaller):
        answers: list[Answer] = []
        for file in files:
            image = decode_photo(_at(file, each))
            outputs = engine.score(to_input(image, artifact.card.input_size))
            answers.append(answer(outputs.logits, outputs.lognorm, calibration))
        print(f"{each} pixels")
        share("  in scope", np.array([bool(each.in_scope) for each in answers]))
        print(f"  mean scope score {np.mean([each.scope for each in answers]):.3f}")
        if (truth >= 0).all():
            scores = np.array([each.scores for each in answers])
            right[each] = scores.argmax(axis=1) == truth
            share("  right", right[each])
        else:
            right[each] = np.array([not each.in_scope for each in answers])
        if each != size:
            larger, this = right[size], right[each]
            lost, won = int((larger & ~this).sum()), int((this & ~larger).sum())
            p = mcnemar_p_value(lost, won)
            print(f"  right only at {size} pixels: {lost}, only at {each}: {won}, p {p:.2f}")


def _index(labels: list[str], name: str) -> int:
    return labels.index(name) if name in labels else -1


def _at(file: Path, size: int) -> bytes:
    """Return the photo with a longer side of `size` pixels, as a JPEG."""
    image = Image.open(file).convert("RGB")
    if max(image.size) <= size:
        return file.read_bytes()
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    image.save(written, "JPEG", quality=JPEG_QUALITY)
    return written.getvalue()


if __name__ == "__main__":
    main()
