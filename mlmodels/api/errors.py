"""Errors of the API about versions."""

from rest_framework.exceptions import NotFound

from common.messages import Message
from mlmodels.selectors import stages_in_use


def no_such_version(name: str, stage: str) -> NotFound:
    """Return the error that no version of this name is in the stage; it lists those that are."""
    existing = ", ".join(" in ".join(pair) for pair in stages_in_use())
    if not existing:
        return NotFound(
            Message(
                "There is no version of %(name)s in the stage %(stage)s. Existing: none.",
                name=repr(name),
                stage=repr(stage),
            )
        )
    return NotFound(
        Message(
            "There is no version of %(name)s in the stage %(stage)s. Existing: %(existing)s.",
            name=repr(name),
            stage=repr(stage),
            existing=existing,
        )
    )
