"""Reasons why an observation of Mushroom Observer fails, besides those of its photos."""

from common.messages import Message
from predictions.errors import FAILURES as PREDICTION_FAILURES
from predictions.errors import Failure

FAILURES = {
    "observation_not_found": Failure(
        404, Message("There is no such observation at Mushroom Observer.")
    ),
    "observation_without_photos": Failure(
        422,
        Message(
            "This observation has no photos at Mushroom Observer, so there is nothing to look at."
        ),
    ),
    "mushroom_observer_unavailable": Failure(
        503, Message("Mushroom Observer cannot be asked now. Try again later.")
    ),
}
"""Codes of the API, each with its HTTP status and a message."""

ALL_FAILURES = PREDICTION_FAILURES | FAILURES
"""With those of photos: an observation fails with the first photo's error if all photos failed."""
