"""Tells the workers `inference` that photos wait to be scored. Only a hint: the rows are the truth.

A worker that scores looks for further photos until it finds none; then it waits for them for a
moment. While one does, photos need no messages of their own.
"""

import logging
from collections.abc import Callable
from typing import Any

import redis

from common.valkey import valkey_client

logger = logging.getLogger(__name__)

_AWAKE = "champipy:scoring_awake"
_ARRIVED = "champipy:scoring_arrived"
AWAKE_S = 5
"""How long a message, or a worker, is trusted to look for photos. If it dies, the rows are sent
again."""


def is_message_needed() -> bool:
    """Tell who waits that a photo waits; return whether a worker has to be sent a message.

    It has to unless one is on its way, or a worker is awake that will look once more before it
    stops. Without Valkey, it has to, too: then there is no broker to send it.
    """
    try:
        with valkey_client().pipeline(transaction=False) as pipeline:
            pipeline.set(_AWAKE, 1, nx=True, ex=AWAKE_S)
            pipeline.lpush(_ARRIVED, 1)
            pipeline.ltrim(_ARRIVED, 0, 0)
            return bool(pipeline.execute()[0])
    except redis.RedisError as error:
        logger.warning("The workers were not told of a photo: %s", error)
        return True


def stay_awake() -> None:
    """Keep others from sending messages: this worker looks for photos once more, or sends one."""
    _run(lambda client: client.set(_AWAKE, 1, ex=AWAKE_S))


def stop_being_awake() -> None:
    """Have the next photo send a message. Look for photos once more after it."""
    _run(lambda client: client.delete(_AWAKE))


def wait_for_photos(seconds: float) -> bool:
    """Return True as soon as a photo arrives, or False after `seconds`."""
    return bool(_run(lambda client: client.blpop([_ARRIVED], timeout=seconds)))


def are_workers_idle() -> bool:
    """Return whether the workers have taken all messages, so that one more may find an idle one."""
    return _run(lambda client: client.llen("inference")) == 0


def _run(command: Callable[[redis.Redis], Any]) -> Any:
    try:
        return command(valkey_client())
    except redis.RedisError as error:
        logger.warning("Valkey did not answer: %s", error)
        return None
