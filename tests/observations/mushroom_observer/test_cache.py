"""What Mushroom Observer answered is kept within bounds, and losing it does no harm."""

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.valkey import valkey_client
from observations.mushroom_observer import cache as cache_module
from observations.mushroom_observer.cache import Kept, cache, cached

pytestmark = pytest.mark.usefixtures("fresh_turns")
FEW = Kept("few", 60, 3, 50)


def test_the_oldest_go_beyond_the_bound() -> None:
    for number in range(5):
        cache(FEW, {str(number): {"id": number}})
    assert cached(FEW, "01234") == {str(number): {"id": number} for number in (2, 3, 4)}
    assert len(valkey_client().keys("champipy:mushroom_observer:few:*")) == 4  # and the index


def test_large_objects_are_not_kept_and_all_end_some_time() -> None:
    cache(FEW, {"large": "x" * 100, "small": [1]})
    assert cached(FEW, ["large", "small", "never"]) == {"small": [1]}
    for key in valkey_client().keys("champipy:mushroom_observer:few:*"):
        assert 0 < valkey_client().ttl(key) <= 60


def test_another_site_has_other_objects(settings) -> None:
    cache(FEW, {"1": "here"})
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = "https://example.org"
    assert cached(FEW, ["1"]) == {}


def test_without_valkey_nothing_is_kept_and_nothing_fails(monkeypatch) -> None:
    gone = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(cache_module, "valkey_client", lambda: gone)
    cache(FEW, {"1": "here"})
    assert cached(FEW, ["1"]) == {}
