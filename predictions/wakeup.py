"""Tells a waiting request that its prediction was answered. A hint only: the row is the truth."""

import logging
import time

import redis

from common.valkey import valkey_client

logger = logging.getLogger(__name__)

MAX_WAKEUP_WAIT_S = 1.0
"""How long a waiter trusts in being told before it looks at the row itself."""


def _key(prediction_id: int) -> str:
    return f"champipy:answered:{prediction_id}"


def announce_answer(prediction_id: int) -> None:
    """Wake whoever waits for this prediction, now or within the next minute."""
    try:
        with valkey_client(MAX_WAKEUP_WAIT_S + 2).pipeline(transaction=False) as pipeline:
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
        valkey_client(MAX_WAKEUP_WAIT_S + 2).blpop(
            [_key(prediction_id)], timeout=max(timeout_s, 0.01)
        )
    except redis.RedisError:
        time.sleep(min(timeout_s, 0.25))
