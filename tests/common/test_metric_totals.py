"""What all processes measure is summed up in Valkey."""

import os
import subprocess
import sys

import pytest

from common import metric_totals
from common.metric_totals import KEY, TotalsCollector, publish
from common.metrics import TASKS
from common.valkey import valkey_client
from tests.support.paths import PROJECT

PROCESS = """
import os
from common.metric_totals import publish
from common.metrics import ENGINE_SECONDS
ENGINE_SECONDS.observe(0.012)
publish()
ENGINE_SECONDS.observe(0.5)
child = os.fork()
if child == 0:
    ENGINE_SECONDS.observe(0.012)
publish()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture(autouse=True)
def _no_totals() -> None:
    publish()
    valkey_client().delete(KEY)


def totals(name: str) -> dict[str, float]:
    """Return the values of a metric without other labels, by sample and bucket."""
    [metric] = [each for each in TotalsCollector().collect() if each.name == name]
    return {each.name + each.labels.get("le", ""): each.value for each in metric.samples}


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=os.environ, check=True)


def test_totals_are_those_of_all_processes_and_outlive_them() -> None:
    """A child that a process forks tells what it measured itself, and not again its parent's."""
    for runs in (1, 2):
        run(PROCESS)
        told = totals("champipy_engine_seconds")
        assert told["champipy_engine_seconds_count"] == 3 * runs
        assert told["champipy_engine_seconds_sum"] == pytest.approx(0.524 * runs)
        assert told["champipy_engine_seconds_bucket0.005"] == 0
        assert told["champipy_engine_seconds_bucket0.015"] == 2 * runs
        assert told["champipy_engine_seconds_bucket0.5"] == 3 * runs
        assert told["champipy_engine_seconds_bucket+Inf"] == 3 * runs


def test_what_was_not_published_is_later(monkeypatch: pytest.MonkeyPatch) -> None:
    TASKS.labels("a", "success").inc(2)
    reachable = valkey_client()
    with monkeypatch.context() as away:
        away.setattr("django.conf.settings.REDIS_URL", "redis://127.0.0.1:1/0")
        valkey_client.cache_clear()
        publish()
        samples = [each.samples for each in TotalsCollector().collect()]
        assert samples == []
    valkey_client.cache_clear()
    assert reachable.hlen(KEY) == 0
    assert totals("champipy_tasks")["champipy_tasks_total"] == 2


def test_no_process_forks_while_its_metrics_are_read() -> None:
    """The child would wait for ever for a lock of a metric that its parent's thread had."""
    probe = """
import os, threading, time
from common import metric_totals
publisher = metric_totals._publisher
publisher.collecting.acquire()
threading.Timer(0.5, publisher.collecting.release).start()
began = time.monotonic()
if os.fork() == 0:
    assert not metric_totals._publisher.collecting.locked()
    os._exit(0)
assert time.monotonic() - began > 0.4
assert os.wait()[1] == 0
"""
    run(probe)
    assert metric_totals._publisher.collecting.locked() is False
