"""The client of Valkey, which speaks Redis's protocol."""

import functools

import redis
from django.conf import settings

CONNECT_TIMEOUT_S = 2


@functools.cache
def valkey_client(timeout_s: float = 2) -> redis.Redis:
    """Return this process's client of the server at REDIS_URL; it is thread-safe, and answers text.

    A command that takes longer than `timeout_s` seconds raises redis.TimeoutError: give more than
    the longest time that a blocking command waits.
    """
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=timeout_s,
        decode_responses=True,
    )
