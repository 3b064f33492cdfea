"""Judges whether the int8 engine answers as the float network that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from mlmodels.ml.metrics import SIGNIFICANCE_LEVEL, mcnemar_p_value

MIN_AGREEMENT: Final = 0.97
"""The int8 engine must give the float network's answer for at least this share of the photos."""


@dataclass(frozen=True)
class Parity:
    """The answers of the int8 engine and of the float network on the same labelled photos."""

    n: int
    """Photos."""
    agreed: int
    """Photos with the same answer."""
    only_int8: int
    """Photos that only the int8 engine named correctly."""
    only_float: int
    """Photos that only the float network named correctly."""

    @property
    def agreement(self) -> float:
        """Return the share of the photos with the same answer, 0 to 1."""
        return self.agreed / self.n

    @property
    def accuracy_loss(self) -> float:
        """Return the float network's accuracy minus the int8 engine's, -1 to 1."""
        return (self.only_float - self.only_int8) / self.n

    @property
    def p_value(self) -> float:
        """Return the p-value of McNemar's exact test, two-sided."""
        return mcnemar_p_value(self.only_int8, self.only_float)

    @property
    def holds(self) -> bool:
        """Return whether the int8 engine may serve.

        It may not if it agrees on too few photos, or is right on fewer than the float network by
        more than chance explains.
        """
        is_worse = self.only_int8 < self.only_float and self.p_value < SIGNIFICANCE_LEVEL
        return self.agreement >= MIN_AGREEMENT and not is_worse


def compare_engines(
    int8_answers: np.ndarray, float_answers: np.ndarray, labels: np.ndarray
) -> Parity:
    """Compare two arrays of answers, integers [n], with the true labels, integers [n]; n >= 1."""
    is_int8_right, is_float_right = int8_answers == labels, float_answers == labels
    return Parity(
        n=len(labels),
        agreed=int(np.sum(int8_answers == float_answers)),
        only_int8=int(np.sum(is_int8_right & ~is_float_right)),
        only_float=int(np.sum(is_float_right & ~is_int8_right)),
    )
