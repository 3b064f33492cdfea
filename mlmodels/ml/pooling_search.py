"""Chooses the pooling's parts by cross-validation by find, on the training photos alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlmodels.ml.calibration import fit_temperature, negative_log_likelihood
from mlmodels.ml.head import out_of_fold
from mlmodels.ml.layers import Pooling
from mlmodels.ml.training import prepare
from mlmodels.ml.training_session import TrainingSession

MAX_SHARE = 0.5
"""Share of the time budget after which no further pooling is tried."""


@dataclass(frozen=True)
class ComparedPooling:
    """A pooling, cross-validated with a head that was fitted in closed form."""

    pooling: Pooling
    accuracy: float
    """Share of the training photos that were named rightly, out of fold, 0 to 1."""
    nll: float
    """Negative log-likelihood of the same photos in nats, at the best temperature: minimised."""
    n: int
    """Photos."""


def choose_pooling(
    session: TrainingSession, *, weights: Mapping[str, np.ndarray], cache_dir: Path
) -> list[ComparedPooling]:
    """Return the poolings that `session.parameters.pooling` has, the best first.

    All are parts of one embedding, which is computed once a photo. The validation photos play no
    part in it. When half of the session's time budget is used, the remaining poolings are not
    tried; those with more parts come first. The list is empty if there is only one pooling, or a
    species has too few finds.
    """
    parameters = session.parameters
    candidates = parameters.pooling.variants()
    if len(candidates) < 2:
        return []
    setup = prepare(session, weights, cache_dir, None)
    photos = session.dataset.training
    whole = session.embeddings(setup, photos, setup.views)
    labels = np.array([photo.label for photo in photos])
    compared: list[ComparedPooling] = []
    for candidate in candidates:
        session.report("head", 0)
        if compared and session.budget_used() > MAX_SHARE:
            break
        logits = out_of_fold(
            whole[..., parameters.pooling.columns(candidate)],
            labels,
            [photo.group for photo in photos],
            regularisation=parameters.head_regularisation,
            pooling=candidate,
        ).logits
        if not np.isfinite(logits).all():
            return []
        nll = negative_log_likelihood(logits, labels, fit_temperature(logits, labels))
        accuracy = float((logits.argmax(axis=1) == labels).mean())
        compared.append(ComparedPooling(candidate, accuracy, nll, len(labels)))
    return sorted(compared, key=lambda one: one.nll)
