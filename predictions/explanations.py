"""Explanations of answers: where on a photo the evidence for a species is.

The inference worker makes them on demand (`predictions.explanation_services`), a PNG and the
numbers behind it as JSON; web sends only the files. They lie in the cache of pictures
(`predictions.pictures`) and are deleted with them.
"""

from dataclasses import dataclass
from typing import Final

from common.broker import send_task
from common.messages import Message
from mlmodels.ml.explanation import METHOD
from mlmodels.selectors import has_files
from predictions.models import Inference
from predictions.pictures import (
    EXPIRES_S,
    EXPLANATION,
    cached_wait,
    picture_name,
    picture_store,
)

MAKE_TASK: Final = "predictions.tasks.make_explanation"
SUFFIXES: Final = (".json", ".png")
"""Of an explanation's files, in the order in which they are written."""


class VersionNotStored(Exception):  # noqa: N818 - a condition to report, not a fault
    """The files of the version that answered are no longer stored; the message says what to do."""


@dataclass(frozen=True)
class Explanation:
    """Which explanation of an answer is meant."""

    inference: Inference
    species: str
    """A label of the inference's version: what the evidence is for."""
    against: str | None = None
    """Another label, with which `species` is compared; None: with all the others."""

    def file_name(self, suffix: str) -> str:
        """Return under which name the cache has, or would have, the file with this suffix."""
        version = self.inference.model_version
        labels = [version.labels.index(name) for name in (self.species, self.against) if name]
        name = "-".join(["", METHOD, *map(str, [version.pk, *labels])])
        return picture_name(self.inference.photo.sha256, EXPLANATION, name + suffix)


def explanation_wait(*, explanation: Explanation, suffix: str, timeout_s: float) -> bytes | None:
    """Return an explanation's file; have a worker make it first if it is not in the cache.

    `suffix` is one of `SUFFIXES`. Waits at most `timeout_s` seconds; returns None if there is no
    file then. Raises VersionNotStored if it can't be made.
    """
    version = explanation.inference.model_version
    name = explanation.file_name(suffix)
    if not picture_store().exists(name) and not has_files(version):
        raise VersionNotStored(
            Message(
                "The files of %(version)s, which gave this answer, are no longer stored. Send the "
                "photo again: the answer of the version in production can be explained.",
                version=version,
            )
        )
    asked = (explanation.inference.pk, explanation.species, explanation.against)
    return cached_wait(
        name,
        lambda: send_task(MAKE_TASK, *asked, expires_s=EXPIRES_S),
        timeout_s=timeout_s,
    )
