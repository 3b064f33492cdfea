"""The totals of what all processes measure, kept in Valkey.

A process counts in memory. Every few seconds a thread adds what has come since to one hash in
Valkey, so that nothing on a prediction's path waits for it, a worker that starts again loses no
total, and any web process can tell those of all machines. A process that is killed takes the counts
of its last seconds with it, and a change whose answer got lost is counted twice: these are figures
for graphs, not the truth, which is in the database.
"""

import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

import redis
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from common.metrics import registry
from common.valkey import valkey_client

KEY = "champipy:metrics:1"
"""Increase the number when the buckets or labels of a metric change: the old ones do not fit."""
PUBLISH_S = 5.0


class _Publisher:
    """What this process has published already. A fork begins anew: its parent tells its own."""

    def __init__(self) -> None:
        self.publishing = threading.Lock()
        self.collecting = threading.Lock()
        """No process forks meanwhile: its child could not open the locks of the metrics."""
        self.thread: threading.Thread | None = None
        self.published = _samples()

    def publish(self) -> None:
        with self.publishing:
            with self.collecting:
                current = _samples()
            changes = valkey_client().pipeline()  # a transaction
            for child, samples in current.items():
                before = self.published.get(child, {})
                if samples != before:  # of a histogram also what stays 0, so that it is whole
                    for field, value in samples.items():
                        changes.hincrbyfloat(KEY, field, value - before.get(field, 0.0))
            if changes:
                changes.execute()
            self.published = current

    def start(self) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=self._run, name="metrics", daemon=True)
            self.thread.start()

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(PUBLISH_S):
            publish()


def _samples() -> dict[str, dict[str, float]]:
    """Return the values of each metric's children, as fields of the hash in Valkey."""
    children: dict[str, dict[str, float]] = defaultdict(dict)
    for metric in registry.collect():
        for sample in metric.samples:
            if not sample.name.endswith("_created"):
                labels = sorted(item for item in sample.labels.items() if item[0] != "le")
                field = json.dumps([metric.name, sample.name, sample.labels])
                children[f"{metric.name}{labels}"][field] = sample.value
    return children


_publisher = _Publisher()


def _before_fork() -> None:
    _publisher.collecting.acquire()


def _after_fork_in_parent() -> None:
    _publisher.collecting.release()


def _after_fork_in_child() -> None:
    global _publisher  # noqa: PLW0603 - this process's only one
    _publisher = _Publisher()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)


def start_publishing() -> None:
    """Add what this process measures to the totals from now on, in a thread."""
    _publisher.start()


def publish() -> None:
    """Add what this process has measured to the totals; later, if Valkey does not answer."""
    with suppress(redis.RedisError):
        _publisher.publish()


class TotalsCollector(Collector):
    """Reads the totals of all processes; none while Valkey does not answer."""

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering it asks no server."""
        return []

    def collect(self) -> Iterator[Metric]:
        publish()
        try:
            totals = valkey_client().hgetall(KEY)
        except redis.RedisError:
            return
        samples: dict[str, list[Sample]] = defaultdict(list)
        for field, value in totals.items():
            metric, name, labels = json.loads(field)
            samples[metric].append(Sample(name, labels, float(value)))
        for metric in registry.collect():
            metric.samples = sorted(samples[metric.name], key=_order)
            yield metric


def _order(sample: Sample) -> tuple[list[tuple[str, str]], str, float]:
    labels = sorted(item for item in sample.labels.items() if item[0] != "le")
    return labels, sample.name, float(sample.labels.get("le", 0))
