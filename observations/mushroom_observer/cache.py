"""Keeps what Mushroom Observer answered for a while, for all processes, in Valkey.

Losing it costs a call. Each kind of object has a bound; beyond it the oldest entries go.
"""

import json
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import redis

from common.valkey import valkey_client
from observations.mushroom_observer.references import site_url

logger = logging.getLogger(__name__)

_DROP_OLDEST = """
for _, key in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1)) do redis.call('DEL', key) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, ARGV[1] - 1)
"""


class Kept(NamedTuple):
    """How objects of one kind are kept."""

    kind: str
    seconds: int
    max_entries: int
    max_bytes: int
    """Of one object; larger ones are not kept."""


NAMES = Kept("names", 7 * 24 * 3600, 5_000, 20_000)
OBSERVATIONS = Kept("observations", 60, 300, 200_000)
PROBES = Kept("probes", 24 * 3600, 10, 100)


def cached(kept: Kept, keys: Iterable[str]) -> dict[str, Any]:
    """Return the objects that are kept, by key."""
    keys = list(keys)
    if not keys:
        return {}
    try:
        values = valkey_client().mget([_key(kept, key) for key in keys])
        return {key: json.loads(value) for key, value in zip(keys, values, strict=True) if value}
    except (redis.RedisError, ValueError) as error:
        logger.warning("The cache of Mushroom Observer's %s is not read: %s", kept.kind, error)
        return {}


def cache(kept: Kept, objects: Mapping[str, Any]) -> None:
    """Keep objects by key."""
    index, now = f"{_prefix(kept)}:index", time.time()
    try:
        with valkey_client().pipeline(transaction=False) as pipeline:
            for key, value in objects.items():
                text = json.dumps(value)
                if len(text) <= kept.max_bytes:
                    pipeline.set(_key(kept, key), text, ex=kept.seconds)
                    pipeline.zadd(index, {_key(kept, key): now})
            pipeline.zremrangebyscore(index, "-inf", now - kept.seconds)
            pipeline.expire(index, kept.seconds)
            pipeline.zcard(index)
            surplus = pipeline.execute()[-1] - kept.max_entries
        if surplus > 0:
            valkey_client().eval(_DROP_OLDEST, 1, index, surplus)
    except redis.RedisError as error:
        logger.warning("Mushroom Observer's %s are not cached: %s", kept.kind, error)


def _prefix(kept: Kept) -> str:
    return f"champipy:mushroom_observer:{kept.kind}:{site_url()}"


def _key(kept: Kept, key: str) -> str:
    return f"{_prefix(kept)}:{key}"
