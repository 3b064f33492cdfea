"""Daily quotas of users, counted atomically in Valkey. Days are those of UTC."""

import logging
import time

import redis
from django.conf import settings

from accounts.models import User
from common.valkey import valkey_client
from predictions.errors import NotAccepted

logger = logging.getLogger(__name__)

DAY_S = 24 * 3600
ADMIN_FACTOR = 10
"""An administrator's quotas are this many times as large."""

# Adds each amount to its key, or none of them if a sum would exceed its limit. Returns the number
# of the first key whose limit would be exceeded, or 0.
_TAKE = """
for i, key in ipairs(KEYS) do
  local sum = tonumber(redis.call('GET', key) or 0) + tonumber(ARGV[2 * i])
  if sum > tonumber(ARGV[2 * i + 1]) then return i end
end
for i, key in ipairs(KEYS) do
  redis.call('INCRBY', key, ARGV[2 * i])
  redis.call('EXPIRE', key, ARGV[1])
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
    factor = ADMIN_FACTOR if user.is_admin else 1
    mega_bytes = settings.CHAMPIPY_DAILY_UPLOAD_MB * factor
    quotas = [
        ("predictions", predictions, settings.CHAMPIPY_DAILY_PREDICTIONS * factor),
        ("bytes", new_bytes, mega_bytes * 1_000_000),
    ]
    taken = [quota for quota in quotas if quota[1]]
    keys = [f"champipy:quota_{name}:{user.pk}:{int(time.time() // DAY_S)}" for name, _, _ in taken]
    amounts = [number for _, amount, limit in taken for number in (amount, limit)]
    try:
        exceeded = int(valkey_client().eval(_TAKE, len(keys), *keys, DAY_S, *amounts))
    except redis.RedisError as error:
        logger.warning("The quotas of %s were not counted: %s", user, error)
        return
    if exceeded and taken[exceeded - 1][0] == "predictions":
        limit = taken[exceeded - 1][2]
        raise NotAccepted(
            "quota_exceeded", f"You have made today's {limit:,} predictions. Go on tomorrow."
        )
    if exceeded:
        raise NotAccepted(
            "quota_exceeded",
            f"You have sent today's {mega_bytes:,} MB of new photos. Go on tomorrow.",
        )


def seconds_until_tomorrow() -> int:
    """Return the seconds until the quotas of the next day begin, at least 1."""
    return DAY_S - int(time.time()) % DAY_S
