"""Mushroom Observer is asked at its pace by all processes together; Valkey decides."""

import itertools
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.valkey import valkey_client
from predictions import mushroom_observer_turns
from predictions.http_client import HTTPAnswer
from predictions.mushroom_observer_turns import (
    API_GAP_S,
    AWAY_S,
    MAX_AWAY_S,
    MAX_PAUSE_S,
    MAX_UNSENT_S,
    MIN_GAP_S,
    NoTurn,
    pause_from,
    site_away,
    site_pause_left_s,
    turn_end,
    turn_sent,
    turn_take,
)
from tests.support.paths import PROJECT

KEY = "champipy:mushroom_observer:turns"

pytestmark = pytest.mark.usefixtures("fresh_turns")


def take(lane="image", *, is_sent=True, **options):
    turn = turn_take(lane, **{"patience_s": 600, **options})
    if turn.wait_s == 0 and is_sent:
        turn_sent(turn)
    return turn


def pass_time(seconds: float, *places: int) -> list[int]:
    """Move all that Valkey keeps into the past, and return these places as they are then."""
    client = valkey_client()
    for field, value in client.hgetall(KEY).items():
        if not field.endswith(("_holder", "_for")):
            client.hset(KEY, field, int(value) - round(1000 * seconds))
    return [place - round(1000 * seconds) for place in places]


def test_the_first_goes_at_once_and_each_next_one_gets_a_place_a_gap_later() -> None:
    assert take().wait_s == 0
    waiting = [take() for _ in range(5)]
    distances = [b.place - a.place for a, b in itertools.pairwise(waiting)]
    assert distances == [1000 * MIN_GAP_S] * 4
    assert 0 < waiting[0].wait_s <= MIN_GAP_S


def test_a_place_is_kept_and_used_when_its_time_comes() -> None:
    take()
    first, second = take(), take()
    again = take(place=first.place)
    assert again.place == first.place
    assert 0 < again.wait_s <= MIN_GAP_S
    places = pass_time(MIN_GAP_S, first.place, second.place)
    assert take(place=places[0]).wait_s == 0
    assert take(place=places[1]).wait_s > 0
    [place] = pass_time(MIN_GAP_S, places[1])
    assert take(place=place).wait_s == 0


def test_places_that_nobody_came_for_hold_nobody_up() -> None:
    take()
    for _ in range(3):  # these processes die
        take()
    last = take()
    [place] = pass_time(4 * MIN_GAP_S, last.place)
    assert take(place=place).wait_s == 0


def test_places_that_are_long_over_are_spread_again() -> None:
    take()
    late = [take().place for _ in range(4)]
    late = pass_time(60, *late)
    first, *others = [take(place=place) for place in late]
    assert first.wait_s == 0
    assert len({other.place for other in others}) == 3
    assert [round(other.wait_s / MIN_GAP_S) for other in others] == [1, 2, 3]


def test_people_go_before_the_background_whoever_came_first() -> None:
    take()
    background = take(is_background=True)
    person = take()
    assert person.place <= background.place + 1
    background_place, person_place = pass_time(MIN_GAP_S, background.place, person.place)
    deferred = take(place=background_place, is_background=True)
    assert deferred.wait_s > 0
    assert take(place=person_place).wait_s == 0
    assert take(is_background=True).place >= deferred.place + 1000 * MIN_GAP_S
    [place] = pass_time(2 * MIN_GAP_S, deferred.place)
    assert take(place=place, is_background=True).wait_s == 0


def test_calls_of_the_api_leave_five_seconds_or_as_long_as_the_last_one_took() -> None:
    turn = take("api", hold_s=30)
    assert turn.wait_s == 0
    turn_end(turn, run_time_s=0.1)
    assert API_GAP_S - 1 < take("api").wait_s <= API_GAP_S
    pass_time(API_GAP_S)
    pass_time(API_GAP_S)
    slow = take("api", hold_s=30)
    assert slow.wait_s == 0
    turn_end(slow, run_time_s=12)
    assert 11 < take("api").wait_s <= 12.1
    turn_end(slow, run_time_s=1e9)
    assert take("api").wait_s <= 120.1


def test_nobody_calls_while_a_call_goes_on_and_a_dead_process_ends_with_its_deadline() -> None:
    take("api", hold_s=30)
    place = take("api").place
    [place] = pass_time(6, place)
    assert 23 < take("api", place=place).wait_s <= 24
    [place] = pass_time(24, place)
    assert take("api", place=place).wait_s == 0


def test_the_end_of_an_earlier_call_does_not_end_a_later_one() -> None:
    early = take("api", hold_s=2)
    pass_time(10)
    assert take("api", hold_s=30).wait_s == 0
    turn_end(early, run_time_s=0)
    assert take("api", place=1, patience_s=600).wait_s > 20


def test_the_next_follows_a_gap_after_the_one_before_was_sent() -> None:
    turn = take(is_sent=False)
    place = take().place
    [place] = pass_time(MIN_GAP_S, place)
    assert 0 < take(place=place).wait_s <= 0.05, "it looks again and again"
    assert take("api").wait_s > 0
    turn_sent(turn)
    assert MIN_GAP_S - 0.5 < take(place=place).wait_s <= MIN_GAP_S
    [place] = pass_time(MIN_GAP_S, place)
    assert take(place=place).wait_s == 0


def test_one_that_dies_before_it_sends_holds_the_others_up_for_seconds_only() -> None:
    take(is_sent=False)
    place = take().place
    [place] = pass_time(MAX_UNSENT_S, place)
    assert take(place=place).wait_s == 0


def test_a_photo_and_a_call_are_a_gap_apart_too() -> None:
    take("api")
    photo = take("image")
    assert 0 < photo.wait_s <= MIN_GAP_S
    [place] = pass_time(MIN_GAP_S, photo.place)
    assert take("image", place=place).wait_s == 0


def test_who_would_wait_longer_than_his_patience_gets_no_place() -> None:
    take()
    for _ in range(4):
        take()
    with pytest.raises(NoTurn) as refusal:
        take(patience_s=3)
    assert refusal.value.wait_s is not None
    assert 4 < refusal.value.wait_s <= 5 * MIN_GAP_S
    assert take(patience_s=6).wait_s <= 5 * MIN_GAP_S, "the refused one took no place"


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (503, "120", 120),
        (429, "7", 7),
        (429, "", 60),
        (503, "soon", 120),
        (503, "9" * 400, MAX_PAUSE_S),
        (503, timedelta(hours=2), 7200),
        (503, timedelta(hours=-2), MIN_GAP_S),
    ],
)
def test_everybody_keeps_the_pause_that_the_site_asks_for(status, header, seconds) -> None:
    if isinstance(header, timedelta):  # as a date
        header = format_datetime(datetime.now(UTC) + header)
    assert take().wait_s == 0
    place = take().place
    pause = pause_from(HTTPAnswer(status, {"Retry-After": header}))
    assert pause is not None
    assert pause == pytest.approx(seconds, abs=60)
    for lane in ("image", "api"):
        assert take(lane, patience_s=10**6).wait_s == pytest.approx(pause, abs=3)
    [place] = pass_time(min(seconds / 2, 5), place)
    if seconds > 60:
        assert take(place=place, patience_s=10**6).wait_s > seconds / 2
    pass_time(seconds + 60)
    assert take(place=0, patience_s=0).wait_s == 0


def test_a_shorter_pause_does_not_end_a_longer_one_and_other_statuses_ask_for_none() -> None:
    pause_from(HTTPAnswer(503, {"Retry-After": "300"}))
    pause_from(HTTPAnswer(429, {"Retry-After": "5"}))
    assert pause_from(HTTPAnswer(500, {"Retry-After": "5000"})) is None
    assert 290 < take().wait_s <= 300


def test_without_valkey_nobody_asks(monkeypatch) -> None:
    gone = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(mushroom_observer_turns, "valkey_client", lambda: gone)
    with pytest.raises(NoTurn) as refusal:
        take()
    assert refusal.value.wait_s is None
    assert pause_from(HTTPAnswer(503, {"Retry-After": "9"})) == 9  # logged, and no error


ASK = """
import time
import django
django.setup()
from predictions import mushroom_observer_turns as turns
turns.MIN_GAP_S = 0.1
end, place = time.monotonic() + 2, 0
while time.monotonic() < end:
    turn = turns.turn_take("image", place=place, patience_s=600)
    place = turn.place if turn.wait_s else 0
    if turn.wait_s:
        time.sleep(min(turn.wait_s, 0.05))
    else:
        time.sleep(0.03)  # connecting
        turns.turn_sent(turn)
        print(time.monotonic())
"""


def test_many_processes_together_keep_the_gap() -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "champipy_site.settings"}
    command = [sys.executable, "-c", ASK]
    processes = [
        subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    lines = [line for process in processes for line in process.communicate(timeout=60)[0].split()]
    times = sorted(map(float, lines))
    assert len(times) >= 6
    # A time is taken a little after its turn, so the first and the last may be too close.
    assert len(times) <= (times[-1] - times[0]) / 0.1 + 3


@pytest.mark.parametrize("lane", ["image", "api"])
def test_a_site_out_of_reach_is_left_alone_at_once_and_longer_each_time(lane) -> None:
    assert take("api", is_sent=False).wait_s == 0
    assert site_away() == AWAY_S
    with pytest.raises(NoTurn) as refused:
        take(lane)
    assert refused.value.is_away
    assert refused.value.wait_s is not None
    assert 0 < refused.value.wait_s <= AWAY_S
    left = site_pause_left_s()
    assert left is not None
    assert 0 < left <= AWAY_S
    pass_time(AWAY_S + MAX_UNSENT_S)
    assert site_pause_left_s() is None
    assert site_away() == 2 * AWAY_S
    for _ in range(9):
        pass_time(MAX_AWAY_S)
        last = site_away()
    assert last == MAX_AWAY_S


def test_the_first_request_that_is_sent_says_that_the_site_is_back() -> None:
    site_away()
    pass_time(AWAY_S)
    assert take("api").wait_s == 0
    assert site_away() == AWAY_S, "not twice as long"
