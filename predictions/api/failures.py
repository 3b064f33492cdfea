"""Failed predictions as errors of the API."""

from rest_framework.exceptions import APIException

from common.messages import Text
from predictions.errors import FAILURES
from predictions.quotas import seconds_until_tomorrow


class PredictionFailed(APIException):
    """Reports a failed prediction as an error response of the API."""

    def __init__(self, code: str, detail: Text) -> None:
        self.status_code = FAILURES[code].status
        if code == "quota_exceeded":
            self.wait = seconds_until_tomorrow()  # becomes the header Retry-After
        super().__init__(detail=detail, code=code)
