"""Tells a waiting request that its prediction was answered. A hint only: the row is the truth."""

import functools
import logging
import time

import redis
from django.conf import settings

logger = logging.getLogger(__name__)

LOOK_ANYWAY_S = 1.0
"""How long a waiter trusts in being told before it looks at the row itself."""


@functools.cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=LOOK_ANYWAY_S + 2
    )


def _key(prediction_id: int) -> str:
    return f"champipy:answered:{prediction_id}"


def announce_answer(prediction_id: int) -> None:
    """Wake whoever waits for this prediction, now or within the next minute."""
    try:
        with _client().pipeline(transaction=False) as pipeline:
            pipeline.rpush(_key(prediction_id), 1)
            pipeline.expire(_key(prediction_id), 60)
            pipeline.execute()
    except redis.RedisError as error:
        logger.warning("Nobody was told that prediction %s is answered: %s", prediction_id, error)


def wait_for_answer(prediction_id: int, timeout_s: float) -> None:
    """Return when told that the prediction is answered, or after at most `timeout_s` seconds.

    With Redis away this is a short sleep, so that the caller can poll.
    """
    try:
        _client().blpop([_key(prediction_id)], timeout=max(timeout_s, 0.01))
    except redis.RedisError:
        time.sleep(min(timeout_s, 0.25))
