"""Training of the head alone: in closed form, calibrated by heads that did not know the photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from mlmodels.ml.answer_calibration import calibrate
from mlmodels.ml.answer_measures import cross_measure
from mlmodels.ml.answers import AnswerCalibration
from mlmodels.ml.backbone import IMAGENET_DIGEST, weights_digest
from mlmodels.ml.calibration import fit_temperature
from mlmodels.ml.features import FeatureCache
from mlmodels.ml.head import MAX_FOLDS, OutOfFold, head_logits
from mlmodels.ml.layers import DEFAULT_POOLING, HEAD
from mlmodels.ml.reference import load_others
from mlmodels.ml.sizes import are_alike, longer_sides, two_sizes
from mlmodels.ml.training_session import Candidate, TrainingSession


@dataclass(frozen=True)
class TrainingSetup:
    """The layers to train and the features to train them on."""

    tail: keras.Model
    """The layers after the cut (`network.build_tail`)."""
    cache: FeatureCache
    views: int
    """Views of each photo that are in the cache."""


@dataclass(frozen=True)
class Fitted:
    """What a training of the head, or of more layers, returns."""

    weights: dict[str, np.ndarray]
    """The trained tensors and the whole head, float32, by name."""
    best: Candidate
    """As measured on the validation photos."""
    temperature: float
    calibration: AnswerCalibration | None
    figures: dict[str, Any]
    temperature_ratio: float = 1.0
    refitted: bool = True
    other_photos: int = 0
    """Photos of other species that the head has learnt from."""


def train_head(
    session: TrainingSession, setup: TrainingSetup, weights: Mapping[str, np.ndarray]
) -> Fitted:
    """Fit the head to all photos; measure and calibrate it by heads fitted without some of them."""
    dataset = session.dataset
    sides = longer_sides(dataset.photos) if dataset.others else np.zeros(0, int)
    others, other_groups = _others(session, setup, weights, sides)
    embeddings = session.embeddings(setup.tail, setup.cache, dataset.photos, setup.views)
    embeddings = _in_their_sizes(session, setup, embeddings, sides)
    n_labels, n_training = len(dataset.labels), len(dataset.training)
    first = session.fit_head(embeddings, dataset.training, others)
    validation_logits = head_logits(embeddings[0, n_training:], first)[:, :n_labels]
    best = session.measure_head(validation_logits)
    held_out = session.out_of_fold(embeddings, others, other_groups)
    calibration, figures = _calibrate(session, held_out, other_groups)
    temperature = (
        fit_temperature(validation_logits, session.validation_labels)
        if calibration is None
        else calibration.temperature
    )
    head = session.fit_head(embeddings, dataset.photos, others)
    has_others = head[f"{HEAD}/bias"].shape[0] > n_labels
    return Fitted(
        head, best, temperature, calibration, figures,
        other_photos=len(other_groups) if has_others else 0,
    )  # fmt: skip


def _others(
    session: TrainingSession,
    setup: TrainingSetup,
    weights: Mapping[str, np.ndarray],
    sides: np.ndarray,
) -> tuple[np.ndarray | None, list[str]]:
    """Return embeddings [copies, m, d] of photos of other species, and their groups [m].

    They are those of the dataset, in the sizes of the labelled photos, and those that come with
    ChampiPy where they fit the network. `sides` are the labelled photos' longer sides, in pixels.
    The embeddings are None where they are of too few groups to leave some out: then nothing could
    measure what they teach.
    """
    copies, groups = [], []
    if photos := session.dataset.others:
        sizes = two_sizes(photos, sides)
        for of_size in sizes:
            session.extract_copies(setup.cache, of_size, views=2)
        values = [session.embeddings(setup.tail, setup.cache, of_size, 2) for of_size in sizes]
        copies.append(np.concatenate(values))
        # In lower case, as those that come along: a genus must be one group, whoever brought it.
        groups += [photo.group.lower() for photo in photos]
    frozen = {name: weights[name] for name in weights if not name.startswith(f"{HEAD}/")}
    is_default = session.parameters.pooling == DEFAULT_POOLING
    if is_default and weights_digest(frozen) == IMAGENET_DIGEST:
        reference = load_others()
        copies.append(reference.values)
        groups += reference.groups
    if len(set(groups)) < MAX_FOLDS:
        return None, []
    return np.concatenate(copies, axis=1), groups


def _in_their_sizes(
    session: TrainingSession, setup: TrainingSetup, embeddings: np.ndarray, sides: np.ndarray
) -> np.ndarray:
    """Return `embeddings` with one more view in the others' sizes, if these are unlike the photos'.

    Otherwise the head would learn that a photo of some size is none of the labels.
    """
    dataset = session.dataset
    if not dataset.others:
        return embeddings
    own = longer_sides(dataset.others)
    reached = np.array(
        [
            min(copy.side, int(side))
            for of_size in two_sizes(dataset.others, sides)
            for copy, side in zip(of_size, own, strict=True)
        ]
    )
    if are_alike(sides, reached):
        return embeddings
    copies, _ = two_sizes(dataset.photos, reached)
    session.extract_copies(setup.cache, copies, views=1)
    return np.concatenate(
        [embeddings, session.embeddings(setup.tail, setup.cache, copies, views=1)]
    )


def _calibrate(
    session: TrainingSession, held_out: OutOfFold, other_groups: Sequence[str]
) -> tuple[AnswerCalibration | None, dict[str, Any]]:
    """Return the calibration by the outputs of heads that did not know the photos, and figures.

    Both are missing where a species has too few finds.
    """
    if not np.isfinite(held_out.logits).all() or not np.isfinite(held_out.other_logits).all():
        return None, {}
    photos = session.dataset.photos
    n_labels = len(session.dataset.labels)
    measured = other_groups if len(held_out.other_lognorms) else []
    arrays = (
        np.concatenate([held_out.logits, held_out.other_logits]) if measured else held_out.logits,
        np.concatenate([held_out.lognorms, held_out.other_lognorms]),
        np.array([photo.label for photo in photos] + [n_labels] * len(measured)),
        np.array([photo.group for photo in photos] + [f"other {group}" for group in measured]),
    )
    return calibrate(*arrays, n_labels=n_labels), cross_measure(*arrays, n_labels=n_labels)
