"""The head in NumPy: its logits, and its fit by logistic regression before other layers train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlmodels.ml.layers import HEAD, tensor_shapes

MAX_FOLDS = 5
"""Most folds that `out_of_fold_logits` uses."""


def blank_head(n_labels: int) -> dict[str, np.ndarray]:
    """Return a head whose weights, and so all logits, are 0: two float32 tensors by name."""
    return {
        name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(HEAD, n_labels).items()
    }


def head_logits(embedding: np.ndarray, head: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the dense layer's logits, float32 [..., k], for pooled features [..., 512]."""
    return (embedding @ head[f"{HEAD}/kernel"] + head[f"{HEAD}/bias"]).astype(np.float32)


def fit_head(
    embeddings: np.ndarray, labels: np.ndarray, n_labels: int, regularisation: float
) -> dict[str, np.ndarray]:
    """Return the head's two tensors, float32, fitted to `embeddings` [n, 512] and `labels` [n].

    Multinomial logistic regression with an L2 penalty (`sklearn.linear_model.LogisticRegression`).
    `regularisation` is its C: smaller is stronger. The embeddings are 0 or more; the labels are
    integers from 0 to `n_labels` - 1, and each must occur.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    fitted = LogisticRegression(C=regularisation, max_iter=3000)
    # The problem is too small to gain from threads, and on busy cores they wait for each other.
    with threadpool_limits(1):
        fitted.fit(embeddings.astype(np.float64), labels)
    kernel, bias = fitted.coef_.T, fitted.intercept_
    if n_labels == 2:  # scikit-learn then has one column: the second logit minus the first
        kernel, bias = np.hstack([-kernel / 2, kernel / 2]), np.hstack([-bias / 2, bias / 2])
    tensors = {"kernel": kernel, "bias": bias}
    return {f"{HEAD}/{name}": value.astype(np.float32) for name, value in tensors.items()}


def out_of_fold_logits(
    embeddings: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str],
    regularisation: float,
    seed: int = 0,
) -> np.ndarray:
    """Return logits, float64 [n, k], of each photo by a head fitted without the photo's group.

    `embeddings` [views, n, 512] of the same photos in each view: heads are fitted to all views and
    score the first. `labels` [n], from 0 to k - 1; `groups` [n]; `regularisation` as for
    `fit_head`. There are `MAX_FOLDS` folds by group, shuffled with `seed`, or fewer (at least 2)
    where a label has fewer groups. Where a fold holds all photos of a label, its head does not know
    the label, and the logit is -inf.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    pairs = np.unique(np.column_stack([labels, np.unique(groups, return_inverse=True)[1]]), axis=0)
    min_groups = int(np.bincount(pairs[:, 0]).min())
    folds = StratifiedGroupKFold(
        min(MAX_FOLDS, max(2, min_groups)), shuffle=True, random_state=seed
    )
    logits = np.full((len(labels), int(labels.max()) + 1), -np.inf)
    for fitted, held_out in folds.split(labels, labels, groups):
        known_labels, targets = np.unique(labels[fitted], return_inverse=True)
        views = embeddings[:, fitted].reshape(-1, embeddings.shape[-1])
        targets = np.tile(targets, len(embeddings))
        head = fit_head(views, targets, len(known_labels), regularisation)
        logits[np.ix_(held_out, known_labels)] = head_logits(embeddings[0, held_out], head)
    return logits
