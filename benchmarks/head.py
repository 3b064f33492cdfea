"""Compares inputs for the dense layer, by cross-validation on the imported training photos.

    ./champipy shell --verbosity 0 -c "from benchmarks.head import main; main()"

Each head is a logistic regression on the pooled features of VGG16's frozen convolutions, with 5
folds split by find and two seeds. The result does not cover networks with a trained block5.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from django.conf import settings
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from mlmodels.ml.backbone import load_backbone
from mlmodels.ml.dataset import RECENT_PHOTOS
from mlmodels.ml.features import photo_pixels
from mlmodels.ml.head import blank_head
from mlmodels.ml.network import build_network
from mlmodels.ml.training_types import TrainingParameters
from supervision.datasets.selectors import training_dataset

INVERSE_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def standardised(features: np.ndarray) -> np.ndarray:
    """Return the features with mean 0 and standard deviation 1, shape (photos, features).

    Features that hardly vary get a smaller deviation, so that their noise is not amplified.
    """
    deviation = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.maximum(deviation, 0.05 * deviation.mean())


HEADS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "plain": lambda features: features,
    "plain, standardised": standardised,
    "square root, standardised": lambda features: standardised(np.sqrt(features)),
}


def main() -> None:
    """Print the accuracy for each head and inverse regularisation strength C."""
    dataset = training_dataset(limit=RECENT_PHOTOS, seed=0)
    photos = dataset.photos
    labels = np.array([photo.label for photo in photos])
    groups = np.array([photo.group for photo in photos])
    backbone = load_backbone(Path(settings.CHAMPIPY_HOME) / "cache" / "backbone")
    size = TrainingParameters().input_size
    network = build_network({**backbone, **blank_head(len(dataset.labels))}, size)
    pooled = np.concatenate(
        [np.asarray(network(photo_pixels(photo, size)[None])["embedding"]) for photo in photos]
    ).astype(np.float64)
    folds = [
        fold
        for seed in (0, 1)
        for fold in StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(
            pooled, labels, groups
        )
    ]
    for name, transform in HEADS.items():
        features = transform(pooled)
        for c in INVERSE_STRENGTHS:
            correct = 0
            for train, test in folds:
                head = LogisticRegression(C=c, max_iter=3000)
                head.fit(features[train], labels[train])
                correct += int((head.predict(features[test]) == labels[test]).sum())
            print(f"{name:<28} C {c:<7g} {correct / len(labels) / 2:.1%}", flush=True)
