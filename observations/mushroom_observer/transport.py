"""Sends calls to Mushroom Observer's API: one at a time, at the site's pace, and never twice."""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode, urljoin

from django.conf import settings

from common.messages import Message
from observations.mushroom_observer.errors import (
    MaintenanceError,
    MissingEndpointError,
    NonsenseError,
    OutcomeUnknownError,
    RateLimitError,
    RefusedError,
    UnreachableError,
)
from observations.mushroom_observer.values import (
    as_decimal,
    as_integer,
    as_object,
    as_objects,
    as_text,
)
from predictions.http_client import Deadline, HTTPAnswer, Requests, http_request
from predictions.mushroom_observer_turns import (
    NoTurn,
    Turn,
    pause_from,
    site_away,
    site_pause_left_s,
    turn_end,
    turn_sent,
    turn_take,
)
from predictions.photo_urls import FetchError, PhotoURL, mushroom_observer_site, parse_url

logger = logging.getLogger(__name__)

DEADLINE_S = 30.0
"""Of one call, once its turn has come."""
CONNECT_S = 4.0
"""Of that, for connecting. A site that takes longer is away, and people are told so at once."""
MAX_BYTES = 20_000_000
MAX_REDIRECTS = 2
PATIENCE_S = {False: 20.0, True: 120.0}
"""How long a call waits for its turn: where a person waits, and in the background."""
_MAX_SLEEP_S = 1.0
RETRY_AFTER_S = 60
"""For people, where neither the site nor its absence says when to ask again."""

_BUSY = Message(
    "ChampiPy may not ask Mushroom Observer now: others ask it through ChampiPy, or the site has "
    "asked for a pause. Try again later."
)
_AWAY = Message(
    "Mushroom Observer could not be reached a moment ago, and is not asked again at once. Try "
    "again later."
)
_UNCOORDINATED = Message(
    "ChampiPy's Valkey does not answer, so Mushroom Observer was not asked. Try again later, or "
    "tell an administrator."
)
_UNKNOWN = Message(
    "Mushroom Observer gave no clear answer. Look at the observation there before you try again: "
    "it may have been done."
)


class ApiKey:
    """A user's API key at Mushroom Observer. Its text appears in no log and no error message."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "ApiKey(…)"


@dataclass(frozen=True)
class Envelope:
    """An answer of the API without errors."""

    results: list[Any]
    number_of_pages: int
    user_id: int | None
    """Whose key was sent."""


def api_get(
    kind: str,
    parameters: Mapping[str, Any],
    *,
    key: ApiKey | None = None,
    is_background: bool = False,
    patience_s: float | None = None,
) -> Envelope:
    """Return the answer to a call that reads. Raises a MushroomObserverError."""
    query = _query({"format": "json", **parameters, **({"api_key": key.reveal()} if key else {})})
    target = replace(mushroom_observer_site(), path=f"/api2/{kind}?{query}")
    for _ in range(MAX_REDIRECTS + 1):
        with _turn(is_background=is_background, patience_s=patience_s) as call:
            try:
                answer = _send(target, call)
            except FetchError as error:
                raise _failed(error, call) from error
            if answer.location is None or key is not None:
                return _envelope(answer, call, key)
            target = _redirected(target, answer.location)
    raise UnreachableError(Message("Mushroom Observer redirects too often. Tell an administrator."))


def api_write(
    method: str,
    kind: str,
    parameters: Mapping[str, Any],
    form: Mapping[str, Any],
    *,
    key: ApiKey,
    before_sending: Callable[[], object],
) -> Envelope:
    """Send a call that writes, once, and return the answer.

    `before_sending` is called when the site is connected to, right before anything is sent; if it
    raises an exception, nothing is sent, and that is what this function raises.
    Raises OutcomeUnknownError if it was sent and may have been done; any other
    MushroomObserverError says that nothing was done.
    """
    path = f"/api2/{kind}?{_query({'format': 'json', **parameters})}"
    target = replace(mushroom_observer_site(), path=path)
    body = urlencode({**form, "api_key": key.reveal()}).encode()
    with _turn(is_background=False, patience_s=None) as call:
        call.before_sending = before_sending
        try:
            answer = _send(target, call, method=method, form=body)
        except FetchError as error:
            if call.is_sent:
                raise OutcomeUnknownError(_UNKNOWN) from error
            raise _failed(error, call) from error
        if answer.location is not None or answer.status in {500, 502, 504}:
            raise OutcomeUnknownError(_UNKNOWN)
        try:
            return _envelope(answer, call, key)
        except NonsenseError as error:
            raise OutcomeUnknownError(_UNKNOWN) from error


def site_retry_after_s() -> int:
    """Return after how many seconds it is worth asking the site again after a failure.

    That is what is left of the pause that it asked for, or that a site out of reach is given; else
    RETRY_AFTER_S.
    """
    left_s = site_pause_left_s()
    return RETRY_AFTER_S if left_s is None else math.ceil(left_s)


class _Call(Requests):
    """One call, whose turn has come: whether it was sent, and how long it took the site."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.before_sending: Callable[[], object] | None = None
        self.is_sent = False
        self.run_time_s: float | None = None

    def sending(self, target: PhotoURL) -> None:
        if self.before_sending is not None:
            self.before_sending()
        self.is_sent = True
        turn_sent(self.turn)


@contextmanager
def _turn(*, is_background: bool, patience_s: float | None) -> Iterator[_Call]:
    """Wait for the turn of a call, and end it. Raises RateLimitError if it comes too late."""
    turn = _wait(is_background, PATIENCE_S[is_background] if patience_s is None else patience_s)
    started, call = time.monotonic(), _Call(turn)
    try:
        yield call
    finally:
        elapsed = time.monotonic() - started
        turn_end(turn, run_time_s=elapsed if call.run_time_s is None else call.run_time_s)


def _wait(is_background: bool, patience_s: float) -> Turn:
    end, place = time.monotonic() + patience_s, 0
    while True:
        left = max(0.0, end - time.monotonic())
        try:
            turn = turn_take(
                "api",
                place=place,
                is_background=is_background,
                patience_s=left,
                hold_s=DEADLINE_S + 1,
            )
        except NoTurn as refusal:
            if refusal.wait_s is None:
                raise UnreachableError(_UNCOORDINATED) from refusal
            if refusal.is_away:
                raise UnreachableError(_AWAY, retry_after_s=refusal.wait_s) from refusal
            raise RateLimitError(_BUSY, retry_after_s=refusal.wait_s) from refusal
        if turn.wait_s == 0:
            return turn
        if turn.wait_s > left:
            raise RateLimitError(_BUSY, retry_after_s=turn.wait_s)
        place = turn.place
        time.sleep(min(turn.wait_s, _MAX_SLEEP_S))


def _query(parameters: Mapping[str, Any]) -> str:
    return urlencode(parameters, quote_via=quote, safe=",")


def _send(
    target: PhotoURL, call: _Call, *, method: str = "GET", form: bytes | None = None
) -> HTTPAnswer:
    return http_request(
        target,
        allow=settings.CHAMPIPY_FETCH_ALLOW,
        deadline=Deadline(DEADLINE_S),
        max_bytes=MAX_BYTES,
        accept="application/json",
        method=method,
        form=form,
        requests=call,
        connect_s=CONNECT_S,
    )


def _redirected(target: PhotoURL, location: str) -> PhotoURL:
    try:
        return parse_url(urljoin(target.url, location))
    except ValueError as error:
        raise UnreachableError(Message("Mushroom Observer redirects to what is no URL.")) from error
    except FetchError as error:
        raise _unreachable(error) from error


def _failed(error: FetchError, call: _Call) -> UnreachableError | NonsenseError:
    """Return what a failure of HTTP means here; if nothing could be sent, the site is away."""
    failure = _unreachable(error)
    if not call.is_sent and error.code != "url_forbidden":
        failure.retry_after_s = site_away()
    return failure


def _unreachable(error: FetchError) -> UnreachableError | NonsenseError:
    """Return what a failure of HTTP means here; the client's own words are about photos."""
    if error.code == "image_timeout":
        return UnreachableError(
            Message("Mushroom Observer did not answer in time. Try again later.")
        )
    if error.code == "image_too_large":
        return NonsenseError(Message("Mushroom Observer's answer is too long. Try again later."))
    if error.code == "url_forbidden":
        return UnreachableError(
            Message(
                "Mushroom Observer, or where it redirects to, may not be asked from here. Tell an "
                "administrator: CHAMPIPY_MUSHROOM_OBSERVER_URL."
            )
        )
    return UnreachableError(
        Message(
            "Mushroom Observer could not be reached, or closed the connection early. Try again "
            "later."
        )
    )


def _envelope(answer: HTTPAnswer, call: _Call, key: ApiKey | None) -> Envelope:
    """Return the envelope of an answer, and note its run time. Raises a MushroomObserverError."""
    _check_status(answer)
    try:
        envelope = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise NonsenseError(
            Message("Mushroom Observer answered with what cannot be understood. Try again later.")
        ) from error
    envelope = as_object(envelope)
    run_time_s = as_decimal(envelope.get("run_time"))
    if run_time_s is not None and run_time_s >= 0:
        call.run_time_s = run_time_s
    for fault in as_objects(envelope.get("errors")):
        if as_text(fault.get("fatal"), 10).lower() != "false":
            raise _refused(fault, key)
    results = envelope.get("results")
    if not isinstance(results, list):
        raise NonsenseError(Message("Mushroom Observer's answer has no results. Try again later."))
    return Envelope(
        results=results,
        number_of_pages=as_integer(envelope.get("number_of_pages")) or 1,
        user_id=as_integer(envelope.get("user")),
    )


def _check_status(answer: HTTPAnswer) -> None:
    pause_s = pause_from(answer)
    if answer.status == 503:
        raise MaintenanceError(
            Message("Mushroom Observer is in maintenance. Try again later."), retry_after_s=pause_s
        )
    if answer.status == 429:
        raise RateLimitError(
            Message("Mushroom Observer asks ChampiPy to ask less. Try again later."),
            retry_after_s=pause_s,
        )
    if answer.status == 404:
        raise MissingEndpointError(Message("Mushroom Observer does not know this call of its API."))
    if answer.status != 200:
        raise UnreachableError(
            Message(
                "Mushroom Observer answered with status %(status)d. Try again later.",
                status=answer.status,
            )
        )


def _refused(fault: dict[str, Any], key: ApiKey | None) -> RefusedError:
    reason, site_code = as_text(fault.get("details"), 500), as_text(fault.get("code"), 100)
    if key is not None and key.reveal():  # the site's own text may name it
        reason = reason.replace(key.reveal(), "…")
    said = reason or site_code or Message("it did not say why")
    return RefusedError(
        Message("Mushroom Observer refused this: %(reason)s", reason=said),
        site_code=site_code,
        reason=reason,
    )
