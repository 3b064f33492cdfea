"""Training of the head alone: in closed form, calibrated by heads that did not know the photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlmodels.ml.answer_calibration import calibrate
from mlmodels.ml.answer_measures import cross_measure
from mlmodels.ml.answers import AnswerCalibration
from mlmodels.ml.backbone import IMAGENET_DIGEST, weights_digest
from mlmodels.ml.calibration import fit_temperature
from mlmodels.ml.head import MAX_FOLDS, OutOfFold, head_logits
from mlmodels.ml.layers import DEFAULT_POOLING, HEAD
from mlmodels.ml.other_species import OtherCopies, extract_others
from mlmodels.ml.reference import group_text, load_others
from mlmodels.ml.training_session import Fitted, TrainingSession, TrainingSetup

VIEWS = (0, 1)
"""Views of each copy of a photo of other species: the photo and its mirror image."""
_REFERENCE_COPIES = (0, 2, 1, 3)
"""The copies in `reference.OtherEmbeddings` in the order of `extract_others` with these views."""


def train_head(
    session: TrainingSession, setup: TrainingSetup, weights: Mapping[str, np.ndarray]
) -> Fitted:
    """Fit the head to all photos; measure and calibrate it by heads fitted without some of them."""
    dataset = session.dataset
    copies = extract_others(session, setup.cache, VIEWS)
    others, other_groups = _others(session, setup, weights, copies)
    embeddings = session.embeddings(setup, dataset.photos, setup.views)
    if copies is not None:
        embeddings = copies.with_labelled(session, setup, embeddings)
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
    copies: OtherCopies | None,
) -> tuple[np.ndarray | None, list[str]]:
    """Return embeddings [copies, m, d] of photos of other species, and their groups [m].

    They are those of the dataset and those that come with ChampiPy, where these fit the network.
    The embeddings are None where they are of too few groups to leave some out: then nothing could
    measure what they teach.
    """
    values: list[np.ndarray] = []
    groups: list[str] = []
    if copies is not None:
        values.append(copies.outputs(session, setup)["embedding"])
        groups += copies.groups
    frozen = {name: weights[name] for name in weights if not name.startswith(f"{HEAD}/")}
    pooling = session.parameters.pooling
    if DEFAULT_POOLING.has(pooling) and weights_digest(frozen) == IMAGENET_DIGEST:
        reference = load_others(pooling)
        n_copies = len(values[0]) if values else len(_REFERENCE_COPIES)
        values.append(reference.values[list(_REFERENCE_COPIES[:n_copies])])
        groups += reference.groups
    if len(set(groups)) < MAX_FOLDS:
        return None, []
    return np.concatenate(values, axis=1), groups


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
        np.array([photo.group for photo in photos] + [group_text(group) for group in measured]),
    )
    return calibrate(*arrays, n_labels=n_labels), cross_measure(*arrays, n_labels=n_labels)
