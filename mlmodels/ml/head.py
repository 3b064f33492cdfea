"""The head in NumPy: its logits, and its fit by ridge regression.

The head standardises the embedding and has one dense layer. Ridge regression onto the labels was
right on 87.9 % of the training photos in cross-validation by find, logistic regression on 85.6 %:
with more features than photos, the squared error uses all photos, and not just those near a border.
Its outputs are roughly 0 to 1; divided by a temperature near 0.1 they are logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlmodels.ml.layers import BLOCK_ENDS, HEAD, Pooling, projection_name, tensor_shapes

MAX_FOLDS = 5
"""Most folds of a cross-validation (`out_of_fold`)."""
SHRINKAGE = 0.01
"""Share of a segment's mean standard deviation that is added to each one, so that a number that
hardly varies is not blown up."""

Head = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class OutOfFold:
    """The outputs for photos by heads that were fitted without their groups."""

    logits: np.ndarray
    """Float64 [n, k], or [n, k + 1] with the output of other species last; -inf where the head did
    not know the label."""
    lognorms: np.ndarray
    """Float64 [n]: `lognorm` of each photo."""
    other_logits: np.ndarray
    """Float64 [m, k + 1], of the photos of other species; [0, k] without such photos."""
    other_lognorms: np.ndarray
    """Float64 [m]."""


def blank_head(n_outputs: int, pooling: Pooling) -> dict[str, np.ndarray]:
    """Return a head whose dense layer, and so all logits, are 0, without the projection."""
    shapes = tensor_shapes(HEAD, n_outputs, pooling)
    head = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    if f"{HEAD}/scale" in head:
        head[f"{HEAD}/scale"] += 1
    return {name: head[name] for name in head if name not in map(projection_name, BLOCK_ENDS)}


def standardised(embedding: np.ndarray, head: Head) -> np.ndarray:
    """Return embeddings [..., d] as the dense layer takes them, float32 [..., d]."""
    if f"{HEAD}/mean" not in head:
        return embedding
    return (embedding - head[f"{HEAD}/mean"]) * head[f"{HEAD}/scale"]


def head_logits(embedding: np.ndarray, head: Head) -> np.ndarray:
    """Return the dense layer's logits, float32 [..., k], for embeddings [..., d]."""
    features = standardised(embedding, head)
    return (features @ head[f"{HEAD}/kernel"] + head[f"{HEAD}/bias"]).astype(np.float32)


def lognorm(embedding: np.ndarray, head: Head) -> np.ndarray:
    """Return the logarithm of the standardised embedding's squared length, [...].

    It is about 0 for photos such as those of the training, and larger for others: in many numbers
    they lie farther from the mean.
    """
    return np.log(np.square(standardised(embedding, head)).sum(axis=-1) + 1e-9)


def standardisation(embeddings: np.ndarray, pooling: Pooling) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale, float32 [d] each, that standardise embeddings [n, d].

    Each segment of the embedding then has its share of the squared length, which is about 1.
    """
    mean = embeddings.mean(axis=0, dtype=np.float64)
    deviation = embeddings.std(axis=0, dtype=np.float64)
    scales, start = [], 0
    for segment in pooling.segments:
        part = deviation[start : start + segment.size]
        floor = SHRINKAGE * part.mean() + 1e-12
        scales.append(np.sqrt(segment.share / segment.size) / (part + floor))
        start += segment.size
    scale = np.concatenate(scales)
    return mean.astype(np.float32), scale.astype(np.float32)


def fit_head(
    embeddings: np.ndarray,
    labels: np.ndarray,
    n_labels: int,
    *,
    regularisation: float,
    pooling: Pooling,
    others: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the head's tensors, float32, fitted to `embeddings` [n, d] and `labels` [n].

    Ridge regression (Hoerl & Kennard 1970) onto 1 for the photo's label and 0 for all others; the
    penalty is `regularisation` times the number of photos. The labels are integers from 0 to
    `n_labels` - 1. `others` [m, d] are photos of none of the labels; with them, the head has one
    more output, the last. The mean and scale come from the labelled photos alone.
    """
    from scipy.linalg import solve  # type: ignore[import-untyped]

    mean, scale = standardisation(embeddings, pooling)
    targets, rows = np.asarray(labels), embeddings
    n_outputs = n_labels
    if others is not None and len(others):
        targets = np.concatenate([targets, np.full(len(others), n_labels)])
        rows = np.concatenate([embeddings, others])
        n_outputs += 1
    features = (rows - mean) * scale
    one_hot = np.eye(n_outputs)[targets]
    share = one_hot.mean(axis=0)
    gram = (features @ features.T).astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularisation * len(gram)
    weights = solve(gram, one_hot - share, assume_a="pos")
    tensors = {
        "kernel": features.T @ weights.astype(np.float32),
        "bias": share,
        "mean": mean,
        "scale": scale,
    }
    head = {f"{HEAD}/{name}": value.astype(np.float32) for name, value in tensors.items()}
    return _without_standardisation(head) if pooling.is_average else head


def _without_standardisation(head: Head) -> dict[str, np.ndarray]:
    """Return the same head as a dense layer alone, as the specification's network has it."""
    kernel = head[f"{HEAD}/kernel"] * head[f"{HEAD}/scale"][:, np.newaxis]
    bias = head[f"{HEAD}/bias"] - head[f"{HEAD}/mean"] @ kernel
    return {f"{HEAD}/kernel": kernel, f"{HEAD}/bias": bias}


def out_of_fold(
    embeddings: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str],
    *,
    regularisation: float,
    pooling: Pooling,
    others: np.ndarray | None = None,
    other_groups: Sequence[str] = (),
    seed: int = 0,
) -> OutOfFold:
    """Return the outputs for each photo by a head fitted without the photo's group.

    `embeddings` [views, n, d] of the same photos in each view: heads are fitted to all views and
    score the first. `labels` [n], from 0 to k - 1; `groups` [n]; `others` [views, m, d] and
    `other_groups` [m] likewise. There are `MAX_FOLDS` folds by group, shuffled with `seed`, or
    fewer (at least 2) where a label has fewer groups. Where a fold holds all photos of a label, its
    head does not know the label.
    """
    labels, n_labels = np.asarray(labels), int(labels.max()) + 1
    n_folds = _folds(labels, groups)
    if others is not None and len(set(other_groups)) < n_folds:
        others = None  # too few groups to leave some out
    n_others = 0 if others is None else len(other_groups)
    n_outputs = n_labels + (n_others > 0)
    result = OutOfFold(
        logits=np.full((len(labels), n_outputs), -np.inf),
        lognorms=np.zeros(len(labels)),
        other_logits=np.full((n_others, n_outputs), -np.inf),
        other_lognorms=np.zeros(n_others),
    )
    for (fitted, held_out), (fitted_others, held_out_others) in zip(
        _split(labels, groups, n_folds, seed),
        _split(np.zeros(n_others, int), other_groups, n_folds, seed),
        strict=True,
    ):
        known_labels, targets = np.unique(labels[fitted], return_inverse=True)
        head = fit_head(
            _rows(embeddings[:, fitted]),
            np.tile(targets, len(embeddings)),
            len(known_labels),
            regularisation=regularisation,
            pooling=pooling,
            others=None if others is None else _rows(others[:, fitted_others]),
        )
        columns = [*known_labels, *range(n_labels, n_outputs)]
        result.logits[np.ix_(held_out, columns)] = head_logits(embeddings[0, held_out], head)
        result.lognorms[held_out] = lognorm(embeddings[0, held_out], head)
        if others is not None:
            shown = others[0, held_out_others]
            result.other_logits[np.ix_(held_out_others, columns)] = head_logits(shown, head)
            result.other_lognorms[held_out_others] = lognorm(shown, head)
    return result


def _folds(labels: np.ndarray, groups: Sequence[str]) -> int:
    """Return `MAX_FOLDS`, or fewer (at least 2) where a label has fewer groups."""
    pairs = np.unique(np.column_stack([labels, np.unique(groups, return_inverse=True)[1]]), axis=0)
    return min(MAX_FOLDS, max(2, int(np.bincount(pairs[:, 0]).min())))


def _split(
    labels: np.ndarray, groups: Sequence[str], n_folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the indices of the fitted and of the held-out photos of each fold."""
    from sklearn.model_selection import StratifiedGroupKFold

    if not len(labels):
        yield from [(np.arange(0), np.arange(0))] * n_folds
    else:
        folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        yield from folds.split(labels, labels, groups)


def _rows(embeddings: np.ndarray) -> np.ndarray:
    """Return [views, n, d] as [views * n, d]."""
    return embeddings.reshape(-1, embeddings.shape[-1])


def projections(head: Head, pooling: Pooling) -> dict[int, np.ndarray]:
    """Return the projection, float32 [512, d], of each block in `pooling.projected`."""
    return {block: head[projection_name(block)] for block in pooling.projected}
