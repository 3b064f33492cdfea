"""Fetching photos from Mushroom Observer at the pace that it asks for.

A fetch whose turn has not come leaves its thread: its prediction is sent again when it is due.
"""

import time
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from common.messages import Message
from predictions.errors import PredictionRefused
from predictions.http_client import HTTPAnswer, Requests
from predictions.models import Prediction
from predictions.mushroom_observer_turns import (
    NoTurn,
    Turn,
    pause_from,
    turn_sent,
    turn_take,
)
from predictions.photo_urls import PhotoURL, asks_mushroom_observer

MAX_WAIT = timedelta(minutes=10)
"""A photo whose turn would come later than this after its request is given up."""
MAX_WAIT_IN_THREAD_S = 2.0
MAX_WAIT_OF_COMMAND_S = 600.0
"""A command that fetches photos gives up where it would have to wait longer than this."""
WAIT_WITHOUT_VALKEY_S = 15.0


class FetchLater(Exception):  # noqa: N818 - a condition to report, not a fault
    """The photo's host is to be asked at the time `at`, not now."""

    def __init__(self, at: datetime) -> None:
        super().__init__(f"The turn of this photo comes at {at.isoformat()}.")
        self.at = at


class BackgroundTurns(Requests):
    """Waits in its thread for the turn of each request, for a command that fetches many photos.

    It raises NoTurn if that would take longer than MAX_WAIT_OF_COMMAND_S, or without Valkey.
    """

    def __init__(self) -> None:
        self._turn: Turn | None = None

    def before(self, target: PhotoURL) -> None:
        if not asks_mushroom_observer(target):
            return
        place = 0
        while True:
            turn = turn_take(
                "image", place=place, is_background=True, patience_s=MAX_WAIT_OF_COMMAND_S
            )
            if turn.wait_s == 0:
                break
            place = turn.place
            time.sleep(turn.wait_s)
        self._turn = turn

    def sending(self, target: PhotoURL) -> None:
        if self._turn is not None and asks_mushroom_observer(target):
            turn_sent(self._turn)

    def after(self, target: PhotoURL, answer: HTTPAnswer) -> None:
        if asks_mushroom_observer(target):
            pause_from(answer)


class PhotoTurns(Requests):
    """Waits for the turns of one prediction's requests, those to which it is redirected, too.

    It waits in its thread for MAX_WAIT_IN_THREAD_S seconds at most; beyond, it raises FetchLater,
    or PredictionRefused where the turn would come too late.
    """

    def __init__(self, prediction: Prediction) -> None:
        self._prediction = prediction
        self._place = 0
        self._turn: Turn | None = None
        if prediction.fetch_at is not None:
            self._place = round(1000 * prediction.fetch_at.timestamp())

    def before(self, target: PhotoURL) -> None:
        if not asks_mushroom_observer(target):
            return
        end = time.monotonic() + MAX_WAIT_IN_THREAD_S
        while wait_s := self._wait_s():
            if time.monotonic() + wait_s > end:
                raise FetchLater(datetime.fromtimestamp(self._place / 1000, UTC))
            time.sleep(wait_s)

    def sending(self, target: PhotoURL) -> None:
        if self._turn is not None and asks_mushroom_observer(target):
            turn_sent(self._turn)

    def after(self, target: PhotoURL, answer: HTTPAnswer) -> None:
        if not asks_mushroom_observer(target):
            return
        pause_s = pause_from(answer)
        if pause_s is not None:
            self._try_later(pause_s)

    def _wait_s(self) -> float:
        """Take a turn and return 0, or return how many seconds to wait."""
        patience = self._prediction.created_at + MAX_WAIT - timezone.now()
        try:
            turn = turn_take(
                "image",
                place=self._place,
                is_background=self._prediction.is_background,
                patience_s=max(0.0, patience.total_seconds()),
            )
        except NoTurn as refusal:
            self._try_later(refusal.wait_s or WAIT_WITHOUT_VALKEY_S)
        self._turn, self._place = turn, turn.place
        return turn.wait_s

    def _try_later(self, wait_s: float) -> None:
        """Raise FetchLater, or PredictionRefused if that is too late."""
        at = timezone.now() + timedelta(seconds=wait_s)
        if at > self._prediction.created_at + MAX_WAIT:
            raise PredictionRefused(
                "image_unreachable",
                Message(
                    "Mushroom Observer cannot be asked for this photo now: it is asked for one "
                    "photo a second, and not while it asks for a pause. Try again later, or upload "
                    "the photo."
                ),
            )
        raise FetchLater(at)
