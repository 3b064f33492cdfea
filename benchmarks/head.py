"""What should the dense layer be given? Cross-validation on the imported training photos.

    ./champipy shell --verbosity 0 -c "from benchmarks.head import main; main()"

Logistic regression on the pooled features of VGG16's frozen convolutions, 5 folds split by find,
two seeds. The dense layer alone: what it does to a network whose block5 was trained is not told.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from django.conf import settings
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from mlmodels.ml.backbone import load_backbone
from mlmodels.ml.features import photo_pixels
from mlmodels.ml.head import blank_head
from mlmodels.ml.network import build_network
from mlmodels.ml.training_types import TrainingParameters
from supervision.datasets.selectors import RECENT_PHOTOS, training_dataset

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def standardised(features: np.ndarray) -> np.ndarray:
    """Return each feature with mean 0 and deviation 1; one that hardly varies is not blown up."""
    deviation = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.maximum(deviation, 0.05 * deviation.mean())


HEADS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "plain": lambda features: features,
    "plain, standardised": standardised,
    "square root, standardised": lambda features: standardised(np.sqrt(features)),
}


def main() -> None:
    """Print the share of right answers for each head and strength of regularisation."""
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
        for strength in STRENGTHS:
            right = 0
            for train, test in folds:
                head = LogisticRegression(C=strength, max_iter=3000)
                head.fit(features[train], labels[train])
                right += int((head.predict(features[test]) == labels[test]).sum())
            print(f"{name:<28} C {strength:<7g} {right / len(labels) / 2:.1%}", flush=True)
