"""Whose turn it is to ask Mushroom Observer, for all processes together.

The site asks of its clients: one request a second, and between two calls of its API five seconds,
or as long as the last one took it. (That is fewer than the 20 calls a minute that it allows.) Where
it answers 429 or 503, nobody asks until the time in `Retry-After` is over.

Valkey keeps the times, and one script decides. Who has to wait gets a place, which is a time: it is
not held up by others, and whoever dies before it loses its place only. What people wait
for goes first: places in the background come after all of theirs. Without Valkey nobody asks.

A site that cannot be connected to is left alone for AWAY_S seconds, longer each time, and everybody
is told so at once.
"""

import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import redis

from common.valkey import valkey_client
from predictions.http_client import HTTPAnswer

logger = logging.getLogger(__name__)

Lane = Literal["image", "api"]

MARGIN_S = 0.1
"""Added to what the site asks for, because one request may take longer to arrive than the next."""
MIN_GAP_S = 1.0 + MARGIN_S
"""Between the beginnings of any two requests."""
API_GAP_S = 5.0 + MARGIN_S
"""Between the end of a call of the API and the beginning of the next one."""
MAX_RUN_TIME_S = 120.0
"""A longer `run_time` counts as this."""
DEFAULT_PAUSE_S = {429: 60.0, 503: 120.0}
"""How long nobody asks after these statuses, where there is no `Retry-After`."""
MAX_PAUSE_S = 24 * 3600.0

AWAY_S, MAX_AWAY_S = 10.0, 120.0
"""How long nobody asks after the site could not be connected to: doubled each time, to a limit."""

MAX_UNSENT_S = 5.0
"""How long others wait for one whose turn has come to connect and send."""

_KEY = "champipy:mushroom_observer:turns"
_KEPT_MS = 2 * 24 * 3600 * 1000

_TAKE = """
local key, lane = KEYS[1], ARGV[1]
local place, is_background = tonumber(ARGV[2]), ARGV[3] == '1'
local gap, lane_gap = tonumber(ARGV[4]), tonumber(ARGV[5])
local patience, hold, holder = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function get(field) return tonumber(redis.call('HGET', key, field) or 0) end
if get('away') > now then return {'away', 0, get('away') - now} end
local pause, rest = get('pause'), get(lane .. '_rest')
local free = math.max(get('begun') + gap, pause, rest, get(lane .. '_busy'))
local behind_people = get(lane .. '_people')
local is_late = place > 0 and place <= now and (place < now - 5 * gap or pause > now)
local gives_way = is_background and behind_people > now

if place == 0 or (is_late and free > now) or (place <= now and gives_way) then
    local expected = math.max(
        now, get('begun') + gap, get(lane .. '_begun') + lane_gap, rest, pause, behind_people)
    local queue = lane .. '_people'
    if is_background then
        queue = lane .. '_background'
        expected = math.max(expected, get(queue))
    end
    if expected - now > patience then return {'refused', 0, expected - now} end
    place = expected
    if place > now then redis.call('HSET', key, queue, place + lane_gap) end
    redis.call('PEXPIRE', key, ARGV[9])
end
local wait = math.max(place, free) - now
if wait <= 0 and get('unsent') > now then wait = math.min(get('unsent') - now, 50) end
if wait > 0 then return {'wait', place, wait} end
redis.call('HSET', key, 'begun', now, lane .. '_begun', now, lane .. '_busy', now + hold,
    lane .. '_holder', holder, 'unsent', now + ARGV[10], 'unsent_holder', holder)
redis.call('PEXPIRE', key, ARGV[9])
return {'go', place, 0}
"""
_SENT = """
local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', key, 'begun', math.max(now, tonumber(redis.call('HGET', key, 'begun') or 0)))
redis.call('HDEL', key, 'away', 'away_for')
if redis.call('HGET', key, 'unsent_holder') == ARGV[1] then redis.call('HDEL', key, 'unsent') end
redis.call('PEXPIRE', key, ARGV[2])
"""
_REST = """
local key, holder = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local rest = tonumber(redis.call('HGET', key, 'api_rest') or 0)
redis.call('HSET', key, 'api_rest', math.max(rest, now + tonumber(ARGV[2])))
if redis.call('HGET', key, 'api_holder') == holder then redis.call('HDEL', key, 'api_busy') end
redis.call('PEXPIRE', key, ARGV[3])
"""
_AWAY = """
local key, first, longest = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = tonumber(redis.call('HGET', key, 'away_for') or 0)
local length = math.min(longest, math.max(first, 2 * last))
redis.call('HSET', key, 'away', now + length, 'away_for', length)
redis.call('PEXPIRE', key, ARGV[3])
return length
"""
_PAUSE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local pause = tonumber(redis.call('HGET', KEYS[1], 'pause') or 0)
redis.call('HSET', KEYS[1], 'pause', math.max(pause, now + tonumber(ARGV[1])))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


class NoTurn(Exception):  # noqa: N818 - a condition to report, not a fault
    """Mushroom Observer may not be asked now. `wait_s`: after how long it may; None: unknown.

    `is_away` says that it could not be connected to a moment ago.
    """

    def __init__(self, wait_s: float | None, *, is_away: bool = False) -> None:
        super().__init__("It is not the turn of this request to Mushroom Observer.")
        self.wait_s = wait_s
        self.is_away = is_away


@dataclass(frozen=True)
class Turn:
    """An answer to `turn_take`. The request may be sent now if `wait_s` is 0."""

    wait_s: float
    """Seconds after which to ask again, with the same `place`."""
    place: int
    """The place in the queue: a time, in milliseconds since 1970."""
    holder: str


def turn_take(
    lane: Lane,
    *,
    place: int = 0,
    is_background: bool = False,
    patience_s: float,
    hold_s: float = 0.0,
) -> Turn:
    """Take a turn if it has come, or a place in the queue.

    `place` is the one that an earlier answer gave, 0 without one. Call `turn_sent` when the request
    is sent. `hold_s` is how long nobody else may use the lane unless `turn_end` says earlier that
    the request has ended.
    Raises NoTurn if the place would be more than `patience_s` seconds away, if the site could not
    be connected to lately, or if Valkey does not answer.
    """
    holder = secrets.token_hex(8)
    lane_gap_s = API_GAP_S if lane == "api" else MIN_GAP_S
    milliseconds = [
        round(1000 * each) for each in (MIN_GAP_S, max(lane_gap_s, MIN_GAP_S), patience_s, hold_s)
    ]
    unsent_ms = round(1000 * MAX_UNSENT_S)
    arguments = [lane, place, int(is_background), *milliseconds, holder, _KEPT_MS, unsent_ms]
    try:
        outcome, place, wait_ms = valkey_client().eval(_TAKE, 1, _KEY, *arguments)
    except redis.RedisError as error:
        logger.warning("Valkey does not answer, so Mushroom Observer is not asked: %s", error)
        raise NoTurn(None) from error
    if outcome in ("refused", "away"):
        raise NoTurn(int(wait_ms) / 1000, is_away=outcome == "away")
    return Turn(int(wait_ms) / 1000, int(place), holder)


def turn_sent(turn: Turn) -> None:
    """Say that the request is sent now. The next one may follow a gap later."""
    try:
        valkey_client().eval(_SENT, 1, _KEY, turn.holder, _KEPT_MS)
    except redis.RedisError as error:  # the others wait for MAX_UNSENT_S
        logger.warning("Valkey was not told of a request: %s", error)


def turn_end(turn: Turn, *, run_time_s: float) -> None:
    """Say that a call of the API has ended, and that it took the site `run_time_s` seconds."""
    rest_s = max(API_GAP_S, min(run_time_s, MAX_RUN_TIME_S) + MARGIN_S)
    try:
        valkey_client().eval(_REST, 1, _KEY, turn.holder, round(1000 * rest_s), _KEPT_MS)
    except redis.RedisError as error:  # the turn ends by itself
        logger.warning("Valkey was not told of the end of a request: %s", error)


def site_away() -> float | None:
    """Say that the site could not be connected to; return how long nobody asks, if that is known.

    Call it in the turn of a request. The first request that is sent again ends it.
    """
    arguments = [round(1000 * AWAY_S), round(1000 * MAX_AWAY_S), _KEPT_MS]
    try:
        return int(valkey_client().eval(_AWAY, 1, _KEY, *arguments)) / 1000
    except redis.RedisError as error:  # without Valkey nobody asks anyway
        logger.warning("Valkey was not told that Mushroom Observer is away: %s", error)
        return None


def site_pause_left_s() -> float | None:
    """Return for how long nobody asks the site because it said so, or is away; None if it may be.

    None, too, if Valkey does not answer.
    """
    try:
        ends = valkey_client().hmget(_KEY, "pause", "away")
        seconds, microseconds = valkey_client().time()
    except redis.RedisError:
        return None
    left_s = max(int(end or 0) for end in ends) / 1000 - seconds - microseconds / 1e6
    return left_s if left_s > 0 else None


def pause_from(answer: HTTPAnswer) -> float | None:
    """If the site asks for a pause, let all processes keep it; return its length in seconds."""
    if answer.status not in DEFAULT_PAUSE_S:
        return None
    pause_s = _retry_after_s(answer.headers.get("Retry-After", ""))
    if pause_s is None:
        pause_s = DEFAULT_PAUSE_S[answer.status]
    pause_s = min(max(pause_s, MIN_GAP_S), MAX_PAUSE_S)
    logger.warning("Mushroom Observer answered %s: no request for %g s", answer.status, pause_s)
    try:
        valkey_client().eval(_PAUSE, 1, _KEY, round(1000 * pause_s), _KEPT_MS)
    except redis.RedisError as error:  # without Valkey nobody asks anyway
        logger.warning("Valkey was not told of the pause: %s", error)
    return pause_s


def _retry_after_s(text: str) -> float | None:
    """Return the seconds that a header Retry-After names, as a number or as a date."""
    text = text.strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
