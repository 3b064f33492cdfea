"""Reasons why a prediction fails: the API's codes, each with its HTTP status and a message."""

from typing import NamedTuple

from common.messages import Message, Text


class Failure(NamedTuple):
    status: int
    detail: Text


FAILURES = {
    "image_not_found": Failure(422, Message("There is no photo at this address.")),
    "not_an_image": Failure(
        422, Message("This file is not a photo. Send a JPEG, PNG, WebP, GIF, BMP or TIFF file.")
    ),
    "image_truncated": Failure(
        422, Message("The photo is incomplete or damaged. Send the whole file.")
    ),
    "url_forbidden": Failure(422, Message("This address may not be fetched.")),
    "image_too_large": Failure(413, Message("The photo is over 10 MB or 25 megapixels.")),
    "image_timeout": Failure(504, Message("The photo's server took too long.")),
    "image_unreachable": Failure(502, Message("The photo's server could not be reached.")),
    "quota_exceeded": Failure(
        429, Message("You have used today's quota of predictions or of new photos. Go on tomorrow.")
    ),
    "storage_full": Failure(
        507,
        Message(
            "The server has no space left for new photos. Known ones are still answered. Tell an "
            "administrator, and try again later."
        ),
    ),
    "storage_unavailable": Failure(
        503,
        Message(
            "The store of photos does not answer, so that new photos cannot be accepted. Known "
            "ones are still answered. Try again in a moment."
        ),
    ),
    "no_active_model": Failure(
        503, Message("No model is in production. An administrator has to promote one.")
    ),
    "prediction_failed": Failure(
        500, Message("The photo could not be scored, even after several attempts. Send it again.")
    ),
}


SERVICE_CODES = ("quota_exceeded", "storage_full", "storage_unavailable", "no_active_model")
"""Codes that say nothing about a photo: others would be refused now, too."""


class PredictionRefused(Exception):  # noqa: N818 - an answer, not a fault
    """A prediction can't be answered. `code` is a key of FAILURES."""

    def __init__(self, code: str, detail: Text = "") -> None:
        self.code = code if code in FAILURES else "prediction_failed"
        self.detail = detail or FAILURES[self.code].detail
        super().__init__(f"{self.code}: {self.detail}")


class NotAccepted(PredictionRefused):
    """A request can't be accepted now. It leaves no prediction; the same may be accepted later."""
