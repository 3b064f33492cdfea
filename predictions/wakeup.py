"""Wakes a request that waits for a prediction's answer. Only a hint: the row is the truth."""

import logging
import time

import redis

from common.valkey import valkey_client

logger = logging.getLogger(__name__)

MAX_WAKEUP_WAIT_S = 1.0
"""How long a waiting request relies on being woken before it reads the row itself."""


def _key(prediction_id: int) -> str:
    return f"champipy:answered:{prediction_id}"


def announce_answer(prediction_id: int) -> None:
    """Wake the request that waits for this prediction now, or starts to within a minute."""
    try:
        with valkey_client(MAX_WAKEUP_WAIT_S + 2).pipeline(transaction=False) as pipeline:
            pipeline.rpush(_key(prediction_id), 1)
            pipeline.expire(_key(prediction_id), 60)
            pipeline.execute()
    except redis.RedisError as error:
        logger.warning("The answer of prediction %s was not announced: %s", prediction_id, error)


def wait_for_answer(prediction_id: int, timeout_s: float) -> None:
    """Return when the prediction's answer is announced, or after at most `timeout_s` seconds.

    If Redis is unavailable, sleep briefly instead, so that the caller can poll.
    """
    try:
        valkey_client(MAX_WAKEUP_WAIT_S + 2).blpop(
            [_key(prediction_id)], timeout=max(timeout_s, 0.01)
        )
    except redis.RedisError:
        time.sleep(min(timeout_s, 0.25))
