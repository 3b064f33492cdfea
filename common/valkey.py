"""The client for Valkey, which uses Redis's protocol."""

import functools

import redis
from django.conf import settings

CONNECT_TIMEOUT_S = 2


@functools.cache
def valkey_client(timeout_s: float = 2) -> redis.Redis:
    """Return this process's thread-safe client for the server at REDIS_URL. Its replies are str.

    A command that takes longer than `timeout_s` seconds raises redis.TimeoutError, so `timeout_s`
    must exceed the longest wait of a blocking command.
    """
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=timeout_s,
        decode_responses=True,
    )
