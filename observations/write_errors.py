"""Why something was not written at Mushroom Observer."""

from common.messages import Message, Text
from predictions.errors import Failure

WRITE_FAILURES = {
    "not_from_mushroom_observer": Failure(
        409, Message("This observation did not come from Mushroom Observer.")
    ),
    "mushroom_observer_key_missing": Failure(
        409,
        Message(
            "Enter your API key of Mushroom Observer first: PUT /api/v1/mushroom-observer-key."
        ),
    ),
    "observation_changed": Failure(
        409,
        Message(
            "The observation has changed at Mushroom Observer since you looked at it, so nothing "
            "was written. Look at it again."
        ),
    ),
    "already_proposed": Failure(
        409,
        Message("This name is proposed there already, so nothing was written. Vote on it instead."),
    ),
    "write_open": Failure(
        409,
        Message(
            "Something else that you wrote on this observation is not finished yet. Wait for it, "
            "and look at the observation again."
        ),
    ),
    "observation_not_found": Failure(404, Message("There is no such observation any more.")),
    "mushroom_observer_refused": Failure(422, Message("Mushroom Observer refused this.")),
    "mushroom_observer_unavailable": Failure(
        503,
        Message("Mushroom Observer cannot be asked now, so nothing was written. Try again later."),
    ),
    "mushroom_observer_not_done": Failure(
        503,
        Message(
            "Mushroom Observer gave no answer, and a look there showed that it was not done. If "
            "you still want it, click again."
        ),
    ),
}
"""Codes of the API, each with its HTTP status and a message."""


class NotWritten(Exception):  # noqa: N818 - a condition to report, not a fault
    """Nothing was written. `code` is a key of WRITE_FAILURES; `detail` says more for people."""

    def __init__(self, code: str, detail: Text = "") -> None:
        self.code, self.detail = code, detail or WRITE_FAILURES[code].detail
        super().__init__(self.detail)
