"""The head in numpy: fitted by logistic regression before anything else is trained, and applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlmodels.ml.layers import HEAD, tensor_shapes

FOLDS = 5


def blank_head(n_labels: int) -> dict[str, np.ndarray]:
    """A head that says nothing: all logits are 0."""
    return {
        name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(HEAD, n_labels).items()
    }


def head_logits(embedding: np.ndarray, head: Mapping[str, np.ndarray]) -> np.ndarray:
    """Logits, float32 [..., k], of pooled features [..., 512]: what the dense layer computes."""
    return (embedding @ head[f"{HEAD}/kernel"] + head[f"{HEAD}/bias"]).astype(np.float32)


def fit_head(
    embeddings: np.ndarray, labels: np.ndarray, n_labels: int, regularisation: float
) -> dict[str, np.ndarray]:
    """The head's two tensors, float32, from `embeddings` [n, 512] (0 or more) and `labels` [n].

    Multinomial logistic regression with an L2 penalty (`sklearn.linear_model.LogisticRegression`),
    whose C is `regularisation`. Every label must have a photo.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    fitted = LogisticRegression(C=regularisation, max_iter=3000)
    # So small a problem gains nothing from threads, and on busy cores they wait for each other.
    with threadpool_limits(1):
        fitted.fit(embeddings.astype(np.float64), labels)
    kernel, bias = fitted.coef_.T, fitted.intercept_
    if n_labels == 2:  # sklearn keeps one column then: the second label's logit minus the first's
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
    """Logits, float64 [n, k], of each photo by a head that was fitted without the photo's group.

    `embeddings` [views, n, 512] of the same photos in each view: heads are fitted to all views and
    score the first; `labels` [n], from 0 to k - 1; `groups` [n]. `FOLDS` folds by group, drawn by
    `seed`, or fewer where a label has fewer groups. Where a fold holds all photos of a label,
    nobody can say it there: the logit is -inf.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    pairs = np.unique(np.column_stack([labels, np.unique(groups, return_inverse=True)[1]]), axis=0)
    fewest = int(np.bincount(pairs[:, 0]).min())
    folds = StratifiedGroupKFold(min(FOLDS, max(2, fewest)), shuffle=True, random_state=seed)
    logits = np.full((len(labels), int(labels.max()) + 1), -np.inf)
    for others, held in folds.split(labels, labels, groups):
        known, targets = np.unique(labels[others], return_inverse=True)
        seen = embeddings[:, others].reshape(-1, embeddings.shape[-1])
        head = fit_head(seen, np.tile(targets, len(embeddings)), len(known), regularisation)
        logits[np.ix_(held, known)] = head_logits(embeddings[0, held], head)
    return logits
