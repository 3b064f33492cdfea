"""The head, fitted before anything else is trained: logistic regression on pooled features."""

from __future__ import annotations

import numpy as np

from mlmodels.ml.layers import HEAD, tensor_shapes

SMALLEST_SQUARE = 1e-6
"""Added before the square root, whose slope at 0 is infinite."""


def blank_head(n_labels: int) -> dict[str, np.ndarray]:
    """A head that says nothing: all logits are 0."""
    blank = {
        name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(HEAD, n_labels).items()
    }
    return blank | {f"{HEAD}/scale": np.ones_like(blank[f"{HEAD}/scale"])}


def fit_head(
    embeddings: np.ndarray, labels: np.ndarray, n_labels: int, regularisation: float
) -> dict[str, np.ndarray]:
    """The head's four tensors, float32, from `embeddings` [n, 512] (0 or more) and `labels` [n].

    The square roots of the pooled features are standardised with their mean and deviation over
    these photos, which stay fixed from then on; then multinomial logistic regression with an L2
    penalty (`sklearn.linear_model.LogisticRegression`), whose C is `regularisation`. Every label
    must have a photo.
    """
    from sklearn.linear_model import LogisticRegression

    roots = np.sqrt(embeddings.astype(np.float64) + SMALLEST_SQUARE)
    mean, deviation = roots.mean(axis=0), roots.std(axis=0)
    # A feature that hardly varies would be blown up by its own noise.
    scale = 1 / np.maximum(deviation, 0.05 * deviation.mean())
    fitted = LogisticRegression(C=regularisation, max_iter=2000)
    fitted.fit((roots - mean) * scale, labels)
    kernel, bias = fitted.coef_.T, fitted.intercept_
    if n_labels == 2:  # sklearn keeps one column then: the second label's logit minus the first's
        kernel, bias = np.hstack([-kernel / 2, kernel / 2]), np.hstack([-bias / 2, bias / 2])
    tensors = {"mean": mean, "scale": scale, "kernel": kernel, "bias": bias}
    return {f"{HEAD}/{name}": value.astype(np.float32) for name, value in tensors.items()}
