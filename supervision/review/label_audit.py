"""Finds photos whose label is doubtful, with networks that were not trained on them.

Each photo is scored by a head that was fitted on other finds only (out of fold), on features of
ImageNet's VGG16, which was trained on none of them. A version's own features would not do: its
convolutions were trained on the labels that are being audited.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from mlmodels.ml.calibration import fit_temperature, softmax
from mlmodels.ml.dataset import LabelledPhoto
from mlmodels.ml.head import MAX_FOLDS, out_of_fold
from mlmodels.ml.layers import CONVOLUTIONS, DEFAULT_POOLING
from mlmodels.ml.reference import load_projections
from mlmodels.ml.training_types import TrainingParameters
from mlmodels.models import Species
from predictions.models import Photo
from supervision.datasets.finds import photo_groups
from supervision.datasets.selectors import TooFewPhotos, labelled_photo
from supervision.models import LabelDoubt

ROUNDS: Final = 3
"""Repetitions with other random folds; the mean probability depends less on the split."""
METHOD: Final = f"{MAX_FOLDS}-fold ridge regression on ImageNet's VGG16, by find, {ROUNDS} rounds"


@dataclass(frozen=True)
class Audit:
    """The result of an audit."""

    photos: int
    """Number of photos audited."""
    left_out: dict[str, int]
    """Number of photos of each species that has fewer finds than there are folds."""


def audit_labels(*, on_photos: Callable[[int, int], None] = lambda *_: None) -> Audit:
    """Score the labels of all training and evaluation photos, and store a LabelDoubt for each.

    The doubts of earlier audits are replaced. `on_photos(done, total)` is called while features
    are computed: about 50 ms a photo the first time; those of earlier audits are cached.
    Raises TooFewPhotos, BackboneUnavailable (ImageNet's weights are not available), and PhotoError
    or OSError for a photo that cannot be read.
    """
    photos = list(audited_photos())
    groups = photo_groups(photos)
    species = [photo.species for photo in photos]
    finds = Counter(name for name, _ in set(zip(species, groups, strict=True)))
    labels = sorted(name for name, count in finds.items() if count >= MAX_FOLDS)
    left_out = Counter(name for name in species if name not in labels)
    if len(labels) < 2:
        raise TooFewPhotos(
            f"An audit needs at least two species with photos of {MAX_FOLDS} finds each. "
            "Import more with import_photos."
        )
    kept = [
        (photo, labelled_photo(photo, labels.index(photo.species), group))
        for photo, group in zip(photos, groups, strict=True)
        if photo.species in labels
    ]
    labelled = [photo for _, photo in kept]
    probabilities = out_of_fold_probabilities(
        _features(labelled, on_photos),
        np.array([photo.label for photo in labelled]),
        [photo.group for photo in labelled],
    )
    given = [photo.label for photo in labelled]
    _store([photo for photo, _ in kept], given, probabilities, labels)
    return Audit(photos=len(kept), left_out=dict(left_out))


def audited_photos() -> QuerySet:
    """Return the training and evaluation photos that are audited, each with `species`.

    Excluded ones are not, nor are those of other species: there is no head to doubt them.
    """
    photos = Photo.objects.filter(split__in=(Photo.Split.TRAINING, Photo.Split.EVALUATION))
    return (
        photos.filter(excluded=False, is_other=False)
        .annotate(species=F("label__name"))
        .order_by("sha256")
    )


def out_of_fold_probabilities(
    features: np.ndarray, labels: np.ndarray, groups: list[str]
) -> np.ndarray:
    """Return each photo's probabilities, float [n, k], from heads fitted on other groups only.

    `features` is [n, d]; `labels` is [n], from 0 to k-1, each with at least MAX_FOLDS groups.
    """
    rounds = [
        out_of_fold(
            features[np.newaxis],
            labels,
            groups,
            regularisation=TrainingParameters().head_regularisation,
            pooling=DEFAULT_POOLING,
            seed=seed,
        ).logits
        for seed in range(ROUNDS)
    ]
    return np.mean([softmax(logits, fit_temperature(logits, labels)) for logits in rounds], axis=0)


def _features(photos: list[LabelledPhoto], on_photos: Callable[[int, int], None]) -> np.ndarray:
    """Return the embeddings by ImageNet's VGG16, float32 [n, d], from the cache if possible.

    Loads TensorFlow only if no training has made the int8 network for it yet.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from mlmodels.ml.backbone import load_backbone
    from mlmodels.ml.features import extract_features, open_cache

    cache_folder = Path(settings.CHAMPIPY_HOME) / "cache"
    weights_file = settings.CHAMPIPY_VGG16_WEIGHTS
    backbone = load_backbone(
        cache_folder / "backbone", weights_file=Path(weights_file) if weights_file else None
    )
    cache = open_cache(
        cache_folder / "features",
        {**backbone, **load_projections(DEFAULT_POOLING)},
        photos,
        cut=len(CONVOLUTIONS),
        input_size=TrainingParameters().input_size,
        pooling=DEFAULT_POOLING,
    )
    pairs = [(photo, 0) for photo in photos]
    extract_features(
        cache,
        pairs,
        threads=settings.CHAMPIPY_INFERENCE_THREADS or os.cpu_count() or 1,
        progress=on_photos,
        should_stop=lambda _: False,
    )
    features = cache.load([(photo.sha256, view) for photo, view in pairs])
    return features["pooled"].astype(np.float32)


def _store(
    photos: list[Photo], given: list[int], probabilities: np.ndarray, labels: list[str]
) -> None:
    """Replace all doubts; `given` are the audited labels, as indices of `labels`."""
    ids = [Species.objects.get(name=name).pk for name in labels]
    now = timezone.now()
    doubts = [
        LabelDoubt(
            photo=photo,
            label_id=ids[label],
            doubt=1 - float(row[label]),
            likelier_id=ids[int(row.argmax())],
            method=METHOD,
            audited_at=now,
        )
        for photo, label, row in zip(photos, given, probabilities, strict=True)
    ]
    with transaction.atomic():
        LabelDoubt.objects.all().delete()
        LabelDoubt.objects.bulk_create(doubts)
