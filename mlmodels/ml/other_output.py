"""The output for other species of a network whose layers were trained by gradient descent.

Gradient descent trains the outputs of the labels alone. The output for other species is then fitted
in closed form to the trained embedding, beside these, and leaves them as they are. Photos that were
not trained on measure it: the validation photos, and others of genera that heads did not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mlmodels.ml.features import FeatureCache
from mlmodels.ml.head import MAX_FOLDS, lognorm
from mlmodels.ml.layers import HEAD
from mlmodels.ml.other_species import OtherCopies, extract_others
from mlmodels.ml.training_session import TrainingSession, TrainingSetup


@dataclass(frozen=True)
class Column:
    """A dense layer's output for embeddings as they are, not standardised."""

    kernel: np.ndarray
    """Float32 [d]."""
    bias: float


@dataclass(frozen=True)
class OtherOutput:
    """The output for other species after the first training, and what it says of new photos."""

    column: Column
    temperature: float
    """The output is divided by it, to be on the scale of the labels' outputs."""
    groups: tuple[str, ...]
    validation: np.ndarray
    """Float64 [n], for the validation photos."""
    validation_lognorms: np.ndarray
    other_logits: np.ndarray
    """Float64 [m, k + 1], of photos of other species."""
    other_lognorms: np.ndarray


@dataclass(frozen=True)
class MeasurableOthers:
    """Photos of other species that are enough to learn from and to measure by."""

    copies: OtherCopies
    n_scored: int
    """Photos that the tail scores in `fit`, and in `column`."""

    def fit(
        self, session: TrainingSession, setup: TrainingSetup, head: Mapping[str, np.ndarray]
    ) -> OtherOutput | None:
        """Return the output for the tail's current weights, whose head is `head`.

        None where a species has too few finds to measure it.
        """
        embeddings, others, logits = self._outputs(session, setup)
        held_out = session.out_of_fold(embeddings, others, self.copies.groups)
        if not np.isfinite(held_out.logits).all() or not len(held_out.other_lognorms):
            return None
        k, n_training = len(session.dataset.labels), len(session.dataset.training)
        temperature, _ = session.temperatures(held_out.logits[:, :k])
        own_output = held_out.other_logits[:, k] / temperature
        return OtherOutput(
            column=_column(session.fit_head(embeddings, session.dataset.photos, others)),
            temperature=temperature,
            groups=self.copies.groups,
            validation=held_out.logits[n_training:, k] / temperature,
            validation_lognorms=lognorm(embeddings[0, n_training:], head),
            other_logits=np.column_stack([logits, own_output]),
            other_lognorms=lognorm(others[0], head),
        )

    def column(self, session: TrainingSession, setup: TrainingSetup) -> Column:
        """Return the output's column for the tail's current weights."""
        embeddings, others, _ = self._outputs(session, setup)
        return _column(session.fit_head(embeddings, session.dataset.photos, others))

    def _outputs(
        self, session: TrainingSession, setup: TrainingSetup
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return embeddings of the labelled and of the other photos, and logits of the latter."""
        embeddings = session.embeddings(setup, session.dataset.photos, views=1)
        embeddings = self.copies.with_labelled(session, setup, embeddings)
        outputs = self.copies.outputs(session, setup)
        return embeddings, outputs["embedding"], outputs["logits"][0]


def extract_measurable_others(
    session: TrainingSession, cache: FeatureCache
) -> MeasurableOthers | None:
    """Compute the features of the dataset's photos of other species, in two sizes.

    Return None if there are too few groups to leave some out, or no time for them.
    """
    if len({photo.group.lower() for photo in session.dataset.others}) < MAX_FOLDS:
        return None
    copies = extract_others(session, cache, views=(0,))
    if copies is None or len(set(copies.groups)) < MAX_FOLDS:
        return None
    scored = len(copies.copies) * len(copies.groups)
    return MeasurableOthers(copies, len(session.dataset.photos) + len(copies.labelled) + scored)


def add_output(
    head: Mapping[str, np.ndarray], column: Column, temperature: float
) -> dict[str, np.ndarray]:
    """Return the tensors with `column`, divided by `temperature`, as one more output of the head.

    The dense layer takes the embedding as the head's own mean and scale standardise it.
    """
    mean, scale = head.get(f"{HEAD}/mean"), head.get(f"{HEAD}/scale")
    kernel, bias = column.kernel.astype(np.float64), column.bias
    if mean is not None and scale is not None:
        bias += float(mean @ kernel)
        kernel = kernel / scale
    return {
        **head,
        f"{HEAD}/kernel": np.column_stack([head[f"{HEAD}/kernel"], kernel / temperature]).astype(
            np.float32
        ),
        f"{HEAD}/bias": np.append(head[f"{HEAD}/bias"], bias / temperature).astype(np.float32),
    }


def _column(head: Mapping[str, np.ndarray]) -> Column:
    """Return the last output of a fitted head."""
    kernel = head[f"{HEAD}/kernel"][:, -1].astype(np.float64)
    bias = float(head[f"{HEAD}/bias"][-1])
    if f"{HEAD}/mean" in head:
        kernel = kernel * head[f"{HEAD}/scale"]
        bias -= float(head[f"{HEAD}/mean"] @ kernel)
    return Column(kernel, bias)
