"""Daily quotas of users, counted atomically in Valkey. Days are those of UTC."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import redis
from django.conf import settings

from accounts.models import User
from common.messages import Message
from common.valkey import valkey_client
from predictions.errors import NotAccepted

logger = logging.getLogger(__name__)

DAY_S = 24 * 3600
MONTH_S = 32 * DAY_S
ADMIN_FACTOR = 10
"""An administrator's quotas are this many times as large."""

# Adds each amount to its key, or none of them if a sum would exceed its limit (-1: there is none).
# Returns the number of the first key whose limit would be exceeded, or 0.
_TAKE = """
for i, key in ipairs(KEYS) do
  local sum = tonumber(redis.call('GET', key) or 0) + tonumber(ARGV[3 * i - 2])
  local limit = tonumber(ARGV[3 * i - 1])
  if limit >= 0 and sum > limit then return i end
end
for i, key in ipairs(KEYS) do
  redis.call('INCRBY', key, ARGV[3 * i - 2])
  redis.call('EXPIRE', key, ARGV[3 * i])
end
return 0
"""


def quota_take(*, user: User | None, predictions: int = 0, new_bytes: int = 0) -> None:
    """Count predictions and bytes of new photos towards the user's quotas of today.

    Raises NotAccepted("quota_exceeded"), and counts nothing, if one of them would be exceeded.
    Without a user (the terminal), and while Valkey is unavailable, nothing is limited.
    """
    if user is None:
        return
    prediction_limit, byte_limit = _limits(user)
    counted = [
        (_predictions_key(user), predictions, prediction_limit, DAY_S),
        (_bytes_key(user), new_bytes, byte_limit, DAY_S),
        (_month_key(user), predictions, -1, MONTH_S),
    ]
    taken = [count for count in counted if count[1]]
    if not taken:
        return
    keys = [key for key, *_ in taken]
    arguments = [number for _, *numbers in taken for number in numbers]
    try:
        exceeded = int(valkey_client().eval(_TAKE, len(keys), *keys, *arguments))
    except redis.RedisError as error:
        logger.warning("The quotas of %s were not counted: %s", user, error)
        return
    if exceeded and keys[exceeded - 1] == _predictions_key(user):
        raise NotAccepted(
            "quota_exceeded",
            Message(
                "You have made today's %(count)s predictions. Go on tomorrow.",
                count=prediction_limit,
            ),
        )
    if exceeded:
        raise NotAccepted(
            "quota_exceeded",
            Message(
                "You have sent today's %(megabytes)s MB of new photos. Go on tomorrow.",
                megabytes=byte_limit // 1_000_000,
            ),
        )


def quota_return(*, user: User | None, predictions: int = 0, new_bytes: int = 0) -> None:
    """Take back what `quota_take` has counted for a request that was not accepted after all."""
    quota_take(user=user, predictions=-predictions, new_bytes=-new_bytes)


@dataclass(frozen=True)
class Usage:
    """What a user has used of their quotas."""

    predictions_today: int
    predictions_this_month: int
    prediction_limit: int
    bytes_today: int
    byte_limit: int
    resets_at: datetime

    @property
    def predictions_left(self) -> int:
        """Return how many predictions are left today."""
        return max(0, self.prediction_limit - self.predictions_today)


def usage_of(*, user: User) -> Usage | None:
    """Return what the user has used today and this month, or None if Valkey is unavailable."""
    keys = [_predictions_key(user), _month_key(user), _bytes_key(user)]
    try:
        today, month, new_bytes = valkey_client().mget(keys)
    except redis.RedisError as error:
        logger.warning("The quotas of %s were not read: %s", user, error)
        return None
    prediction_limit, byte_limit = _limits(user)
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    return Usage(
        predictions_today=int(today or 0),
        predictions_this_month=int(month or 0),
        prediction_limit=prediction_limit,
        bytes_today=int(new_bytes or 0),
        byte_limit=byte_limit,
        resets_at=datetime.combine(tomorrow, datetime.min.time(), UTC),
    )


def predictions_today(users: Sequence[User]) -> dict[int, int]:
    """Return how many predictions each of these users asked for today, by the users' ids.

    It is empty if Valkey is unavailable.
    """
    return _counted(users, _predictions_key)


def predictions_this_month(users: Sequence[User]) -> dict[int, int]:
    """Return how many predictions each of these users asked for this month, as above."""
    return _counted(users, _month_key)


def _counted(users: Sequence[User], key_of: Callable[[User], str]) -> dict[int, int]:
    if not users:
        return {}
    try:
        counts = valkey_client().mget([key_of(user) for user in users])
    except redis.RedisError as error:
        logger.warning("The quotas of %d users were not read: %s", len(users), error)
        return {}
    return {user.pk: int(count or 0) for user, count in zip(users, counts, strict=True)}


def _limits(user: User) -> tuple[int, int]:
    """Return how many predictions, and bytes of new photos, the user has a day."""
    factor = ADMIN_FACTOR if user.is_admin else 1
    return (
        settings.CHAMPIPY_DAILY_PREDICTIONS * factor,
        settings.CHAMPIPY_DAILY_UPLOAD_MB * factor * 1_000_000,
    )


def _predictions_key(user: User) -> str:
    return f"champipy:quota_predictions:{user.pk}:{int(time.time() // DAY_S)}"


def _bytes_key(user: User) -> str:
    return f"champipy:quota_bytes:{user.pk}:{int(time.time() // DAY_S)}"


def _month_key(user: User) -> str:
    return f"champipy:usage_predictions:{user.pk}:{datetime.now(UTC):%Y-%m}"


def seconds_until_tomorrow() -> int:
    """Return the seconds until the quotas of the next day begin, at least 1."""
    return DAY_S - int(time.time()) % DAY_S
