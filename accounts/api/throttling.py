"""Rate limits counted atomically in Redis, so that simultaneous requests cannot exceed them."""

import logging
import time

import redis
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from accounts.lockout import client_address
from common.valkey import valkey_client

logger = logging.getLogger(__name__)


class FixedWindowThrottle(SimpleRateThrottle):
    """Counts requests per window of the rate's period. A request costs one round trip to Redis.

    DRF's own throttle keeps a list of times, which simultaneous requests overwrite and which grows
    with the rate. While Redis is unavailable, nothing is limited; the lockout after wrong passwords
    is stored in PostgreSQL and still works.
    """

    duration: int
    num_requests: int
    window_ends: float

    def __init__(self, cost: int = 1) -> None:
        super().__init__()
        self.cost = cost  # how many requests this one counts as

    def get_ident(self, request: Request) -> str:
        return str(client_address(request._request))

    def get_cache_key(self, request: Request, view: APIView) -> str:
        ident = request.user.pk if request.user.is_authenticated else self.get_ident(request)
        return self.cache_format % {"scope": self.scope, "ident": ident}

    def allow_request(self, request: Request, view: APIView) -> bool:
        window, elapsed = divmod(time.time(), self.duration)
        self.window_ends = self.duration - elapsed
        key = f"champipy:{self.get_cache_key(request, view)}:{int(window)}"
        try:
            with valkey_client().pipeline(transaction=False) as pipeline:
                pipeline.incr(key, self.cost)
                pipeline.expire(key, self.duration)
                count, _ = pipeline.execute()
        except redis.RedisError as error:
            logger.warning("The rate limit %s was not counted: %s", self.scope, error)
            return True
        return bool(count <= self.num_requests)

    def wait(self) -> float:
        return self.window_ends


class LoginThrottle(FixedWindowThrottle):
    scope = "login"


class PredictionThrottle(FixedWindowThrottle):
    scope = "predictions"


class ExplanationThrottle(FixedWindowThrottle):
    scope = "explanations"


class MushroomObserverThrottle(FixedWindowThrottle):
    scope = "mushroom_observer"
