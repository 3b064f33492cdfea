"""Made-up outputs of a network, like those of ridge regression on real photos."""

from dataclasses import dataclass

import numpy as np

SPECIES = 5
GENERA = 30


@dataclass(frozen=True)
class Outputs:
    """What calibrating and measuring take; the last label is that of other species."""

    logits: np.ndarray
    lognorm: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def of_species_alone(self) -> "Outputs":
        """Return the photos of the species, as a network without the last output sees them."""
        known = self.labels < SPECIES
        return Outputs(
            self.logits[known, :SPECIES],
            self.lognorm[known],
            self.labels[known],
            self.groups[known],
        )

    def arguments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.logits, self.lognorm, self.labels, self.groups


def made_up_outputs(seed: int, n_known: int = 1000, n_other: int = 250) -> Outputs:
    """Return outputs from 0 to 1 or so: nine of ten photos of the species right, two a find.

    Clear photos have a high output for their species. Those of other species have a medium one for
    a species that they resemble, and a higher one for *other*; the norm tells a little, too.
    """
    rng = np.random.default_rng(seed)
    n = n_known + n_other
    labels = np.concatenate([rng.integers(SPECIES, size=n_known), np.full(n_other, SPECIES)])
    logits = rng.normal(0.06, 0.09, (n, SPECIES + 1))
    rows = np.arange(n)
    clearness = np.clip(rng.normal(0.62, 0.25, n), 0, 1)
    resembled = np.where(labels < SPECIES, labels, rng.integers(SPECIES, size=n))
    logits[rows, resembled] += np.where(labels < SPECIES, clearness, 0.4 * clearness)
    logits[:, SPECIES] += np.where(labels < SPECIES, 0, 0.25)
    groups = np.where(
        labels < SPECIES,
        np.char.add("find ", (rows // 2).astype(str)),
        np.char.add("genus ", (rows % GENERA).astype(str)),
    )
    return Outputs(logits, rng.normal(np.where(labels < SPECIES, 0, 0.2), 0.3), labels, groups)
