"""Serves a model version without Django: loads its folder and answers for photos.

version = load_version(Path("var/models/VGG16/1"))
answer = version.answer(Path("photo.jpg").read_bytes())
print(version.labels[answer.scores.argmax()], answer.scores.max(), answer.in_scope)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlmodels.ml.answers import Answer, answer
from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.card import ArtifactError, Card
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.preprocessing import decode_photo, to_input


@dataclass(frozen=True)
class ServedVersion:
    """A version's card and its engine. Not thread-safe: each thread needs one of its own."""

    card: Card
    engine: LiteRTEngine

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the species, in the order of an answer's scores."""
        return self.card.labels

    def answer(self, photo: bytes) -> Answer:
        """Return the answer for a photo's file, as any bytes that somebody sent.

        Raises `preprocessing.PhotoError` when they are not a usable photo.
        """
        assert self.card.calibration is not None  # `load_version` refuses the others
        pixels = to_input(decode_photo(photo), self.card.input_size)
        outputs = self.engine.score(pixels)
        return answer(outputs.logits, outputs.lognorm, self.card.calibration)


def load_version(folder: Path, num_threads: int = 1) -> ServedVersion:
    """Return the version in `folder`, checked, which computes with `num_threads` threads.

    Raises `ArtifactError` when the folder is not a valid version, or has no calibration: only
    scores can be had from such a version, by `artifact.read_artifact` and `load_engine`.
    """
    artifact = read_artifact(folder)
    if artifact.card.calibration is None:
        raise ArtifactError(
            f"{folder}: the version has no calibration, so it gives scores but no answers. "
            "Train one with at least five finds of each species."
        )
    return ServedVersion(artifact.card, artifact.load_engine(num_threads))
