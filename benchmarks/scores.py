"""Measures how often a score is right, and how high photos of anything else score.

    .venv/bin/python -m benchmarks.scores PHOTOS/evaluation PHOTOS/other_species …

The first folder has labelled photos in folders named after their species. Each other folder has
photos of anything else.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.service import PRETRAINED
from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.calibration import softmax
from mlmodels.ml.preprocessing import decode_photo, to_input

BOUNDS = (0.0, 0.5, 0.7, 0.9, 1.0)


def main() -> None:
    """Print the accuracy per range of scores, and the AUROC against each folder of others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("others", type=Path, nargs="*")
    options = parser.parse_args()
    artifact = read_artifact(PRETRAINED)
    engine = artifact.load_engine()

    def best_answer(path: Path) -> tuple[str, float]:
        pixels = to_input(decode_photo(path.read_bytes()), artifact.card.input_size)
        scores = softmax(engine.score(pixels).logits, artifact.card.temperature)
        return artifact.card.labels[int(scores.argmax())], float(scores.max())

    answers = [(*best_answer(path), path) for path in sorted(options.labelled.glob("*/*"))]
    known = np.array([score for _, score, _ in answers])
    right = np.array([name.replace(" ", "_") == path.parent.name for name, _, path in answers])
    for low, high in pairwise(BOUNDS):
        within = (known > low) & (known <= high)
        print(f"best score {low:.0%} to {high:.0%}: {right[within].sum()} of {within.sum()} right")
    for folder in options.others:
        other = np.array([best_answer(path)[1] for path in sorted(folder.iterdir())])
        pairs = known[:, None] - other[None]
        auroc = np.mean(pairs > 0) + np.mean(pairs == 0) / 2
        print(
            f"{folder.name}: {(other > 0.7).sum()} of {len(other)} photos score above 70 %, "
            f"AUROC against the labelled photos {auroc:.2f}"
        )


if __name__ == "__main__":
    main()
