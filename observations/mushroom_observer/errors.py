"""Why Mushroom Observer gave no answer. Each error has a sentence for people."""

from common.messages import Text


class MushroomObserverError(Exception):
    """Mushroom Observer was not asked, or did not answer as it should.

    `detail` says what happened and what to do; `retry_after_s` is when it may be worth trying
    again, in seconds, None where that is unknown. Neither holds an API key.
    """

    code = "mushroom_observer_unavailable"

    def __init__(self, detail: Text, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class MaintenanceError(MushroomObserverError):
    """The site answered 503."""


class RateLimitError(MushroomObserverError):
    """The site answered 429, or the turn of this request would come too late."""


class UnreachableError(MushroomObserverError):
    """The site could not be reached, was too slow, or refused with another status."""


class NonsenseError(MushroomObserverError):
    """The answer cannot be understood: no JSON, half of it, or not what was asked for."""


class MissingEndpointError(UnreachableError):
    """The site has no such endpoint (404)."""


class NotFoundError(MushroomObserverError):
    """There is no such observation."""

    code = "observation_not_found"


class RefusedError(MushroomObserverError):
    """The site's API answered with an error, so nothing was done. `reason` is its own text."""

    code = "mushroom_observer_refused"

    def __init__(self, detail: Text, *, site_code: str, reason: str) -> None:
        super().__init__(detail)
        self.site_code = site_code
        self.reason = reason


class OutcomeUnknownError(MushroomObserverError):
    """A write was sent, but no answer came: it may have been done. It is not sent again."""

    code = "mushroom_observer_outcome_unknown"


class BadReferenceError(ValueError):
    """The text names no observation of Mushroom Observer; the message says what to give."""
