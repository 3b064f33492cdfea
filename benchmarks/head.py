"""Compares ways of pooling, by cross-validation on the imported training photos.

    ./champipy shell --verbosity 0 -c "from benchmarks.head import main; main()"

The convolutions are ImageNet's. Each head is fitted without a fifth of the finds and names their
photos; this is repeated for three splits into fifths. Then each species is left out in turn, and
its photos are told from those of the other species by the highest output.
"""

import os
from pathlib import Path

import numpy as np
from django.conf import settings

from mlmodels.ml.backbone import load_backbone
from mlmodels.ml.dataset import RECENT_PHOTOS, Dataset
from mlmodels.ml.features import extract_features, open_cache
from mlmodels.ml.head import fit_head, head_logits, out_of_fold
from mlmodels.ml.layers import AVERAGE, CONVOLUTIONS, DEFAULT_POOLING, Pooling
from mlmodels.ml.metrics import auroc
from mlmodels.ml.metrics.shares import wilson_interval
from mlmodels.ml.reference import load_others, load_projections
from mlmodels.ml.training_types import TrainingParameters
from supervision.datasets.selectors import training_dataset

SEEDS = (0, 1, 2)
VIEWS = 2
POOLINGS = {
    "average of block 5": AVERAGE,
    "statistics of block 5": Pooling((5,)),
    "statistics of blocks 3, 4 and 5": Pooling((3, 4, 5)),
    "the same and the second order of block 5": Pooling((3, 4, 5), 128),
    "the same, and the middle counts more": Pooling((3, 4, 5), 128, centre=0.45),
    "the same and the second order of block 4": DEFAULT_POOLING,
}


def main() -> None:
    """Print the accuracy for each pooling and, of the default one, the areas under the curve."""
    dataset = training_dataset(limit=RECENT_PHOTOS, seed=0)
    labels = np.array([photo.label for photo in dataset.photos])
    groups = [photo.group for photo in dataset.photos]
    regularisation = TrainingParameters().head_regularisation
    for name, pooling in POOLINGS.items():
        values = embeddings(dataset, pooling)
        accuracies = [
            out_of_fold(
                values, labels, groups, regularisation=regularisation, pooling=pooling, seed=seed
            ).logits.argmax(axis=1)
            == labels
            for seed in SEEDS
        ]
        share, n = float(np.mean(accuracies)), len(labels)
        low, high = wilson_interval(round(share * n), n)
        print(f"{name}: {share:.1%} of {n} ({low:.1%} to {high:.1%})", flush=True)
    leave_one_out(values, labels, groups, dataset.labels)


def embeddings(dataset: Dataset, pooling: Pooling) -> np.ndarray:
    """Return the embeddings, float32 [views, n, d], of the photos and their mirror images."""
    cache_folder = Path(settings.CHAMPIPY_HOME) / "cache"
    weights_file = settings.CHAMPIPY_VGG16_WEIGHTS
    backbone = load_backbone(
        cache_folder / "backbone", weights_file=Path(weights_file) if weights_file else None
    )
    cache = open_cache(
        cache_folder / "features",
        {**backbone, **load_projections(pooling)},
        dataset.training,
        cut=len(CONVOLUTIONS),
        input_size=TrainingParameters().input_size,
        pooling=pooling,
    )
    pairs = [(photo, view) for view in range(VIEWS) for photo in dataset.photos]
    extract_features(
        cache,
        pairs,
        threads=os.cpu_count() or 1,
        progress=lambda _done, _total: None,
        should_stop=lambda _done: False,
    )
    values = cache.load([(photo.sha256, view) for photo, view in pairs])["pooled"]
    return values.astype(np.float32).reshape(VIEWS, len(dataset.photos), -1)


def leave_one_out(
    values: np.ndarray, labels: np.ndarray, groups: list[str], names: tuple[str, ...]
) -> None:
    """Print how well each species' photos are told from the others' when it is not known."""
    others = load_others()
    areas = []
    for label, name in enumerate(names):
        known = labels != label
        left = labels[known] - (labels[known] > label)
        regularisation, k = TrainingParameters().head_regularisation, len(names) - 1
        of_known = out_of_fold(
            values[:, known],
            left,
            [group for group, keep in zip(groups, known, strict=True) if keep],
            regularisation=regularisation,
            pooling=DEFAULT_POOLING,
            others=others.values,
            other_groups=others.groups,
        ).logits
        head = fit_head(
            values[:, known].reshape(-1, values.shape[-1]),
            np.tile(left, VIEWS),
            k,
            regularisation=regularisation,
            pooling=DEFAULT_POOLING,
            others=others.values.reshape(-1, values.shape[-1]),
        )
        of_unknown = head_logits(values[0, ~known], head)
        area = auroc(of_known[:, :k].max(axis=1), of_unknown[:, :k].max(axis=1))
        areas.append(area.value)
        print(f"without {name}: AUROC {area.value:.3f}", flush=True)
    print(f"mean: {np.mean(areas):.3f}")
