"""What the service did lately and does now, as metrics for Prometheus.

They are read from PostgreSQL and Valkey when Prometheus asks, so that any web process tells the
same of all machines. Each is one query over an index, whose rows are those of the last LATELY.
"""

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import redis
from django.conf import settings
from django.db import connection
from django.db.models import Avg, Count, F, Max, Min, Q
from django.db.models.functions import Greatest
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.valkey import valkey_client
from mlmodels.selectors import production_version
from predictions.models import Prediction
from predictions.selectors import peoples_predictions
from supervision.evaluations.selectors import version_figures
from supervision.models import Alert
from supervision.monitoring.selectors import unanswered_since

LATELY = timedelta(minutes=10)
QUEUES = ("fetch", "inference", "monitoring", "training")


class ServiceCollector(Collector):
    """Reads the metrics of the service at each scrape."""

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering it reads no database."""
        return []

    def collect(self) -> Iterator[Metric]:
        now = timezone.now()
        for read in READERS:
            yield from read(now)


def pending(now: datetime) -> Iterator[Metric]:
    """Tell how many predictions wait, and for how long the oldest one has, also for each worker."""
    of_people, is_fetched = Q(is_background=False), ~Q(sha256="")
    its_turn = Q(fetch_at=None) | Q(fetch_at__lte=now)
    waiting = Prediction.objects.filter(status=Prediction.Status.PENDING).aggregate(
        count=Count("pk"),
        people=Count("pk", filter=of_people),
        since=Min("created_at", filter=of_people),
        fetch=Min(Greatest("created_at", "fetch_at"), filter=of_people & ~is_fetched & its_turn),
        inference=Min("created_at", filter=of_people & is_fetched),
    )
    yield _gauge("pending_predictions", "Predictions that are not answered yet.", waiting["count"])
    yield _gauge("pending_predictions_of_people", "Those that people wait for.", waiting["people"])
    yield _gauge(
        "oldest_pending_seconds",
        "How long the oldest pending prediction of people has waited; 0 if there is none.",
        _age(waiting["since"], now),
    )
    by_worker = GaugeMetricFamily(
        "champipy_oldest_waiting_seconds",
        "The same by the worker that is to go on with it; those that wait for their turn at "
        "Mushroom Observer are left out.",
        labels=["worker"],
    )
    for worker in ("fetch", "inference"):
        by_worker.add_metric([worker], _age(waiting[worker], now))
    yield by_worker
    yield _gauge(
        "unanswered_seconds",
        "How long nobody has been answered who waits for a worker; 0 if somebody was.",
        _age(unanswered_since(), now),
    )


def answers(now: datetime) -> Iterator[Metric]:
    """Tell what people were answered lately."""
    lately = peoples_predictions().filter(created_at__gte=now - LATELY).order_by()
    told = GaugeMetricFamily(
        "champipy_answers",
        "Predictions of people in the last ten minutes.",
        labels=["version", "status", "reused", "in_scope"],
    )
    version = "inference__model_version"
    fields = ("status", "reused", f"{version}__name", f"{version}__version", "inference__in_scope")
    for status, reused, name, number, in_scope, count in lately.values_list(*fields).annotate(
        count=Count("pk")
    ):
        label = f"{name} {number}" if name else ""
        told.add_metric([label, status, _lower(reused), _lower(in_scope)], count)
    yield told
    verdicts = GaugeMetricFamily(
        "champipy_verdicts",
        "Verdicts on proposed names in the last ten minutes.",
        labels=["verdict"],
    )
    judged = lately.filter(verdict__isnull=False).values_list("verdict__verdict")
    for verdict, count in judged.annotate(count=Count("pk")):
        verdicts.add_metric([verdict], count)
    yield verdicts
    failures = GaugeMetricFamily(
        "champipy_failures", "Predictions that failed in the last ten minutes.", labels=["code"]
    )
    failed = lately.filter(status=Prediction.Status.FAILED).values_list("error_code")
    for code, count in failed.annotate(count=Count("pk")):
        failures.add_metric([code], count)
    yield failures
    scored = lately.filter(status=Prediction.Status.DONE, reused=False)
    took = scored.aggregate(
        answer=Avg(F("finished_at") - F("created_at")),
        longest=Max(F("finished_at") - F("created_at")),
        engine=Avg("inference__duration_ms"),
    )
    yield _gauge(
        "answer_seconds_mean",
        "From the request to the answer of newly scored photos, in the last ten minutes.",
        took["answer"].total_seconds() if took["answer"] else 0,
    )
    yield _gauge(
        "answer_seconds_max",
        "The longest of these.",
        took["longest"].total_seconds() if took["longest"] else 0,
    )
    yield _gauge(
        "inference_seconds_mean",
        "To decode and score a photo, in the last ten minutes.",
        (took["engine"] or 0) / 1000,
    )


def quality(now: datetime) -> Iterator[Metric]:
    """Tell how good the version in production is, and which alerts are open."""
    production = production_version()
    metrics = version_figures(production).metrics if production is not None else None
    accuracy = GaugeMetricFamily(
        "champipy_accuracy_ratio",
        "Share of the evaluation photos on which the version in production is right.",
        labels=["version"],
    )
    if metrics is not None:
        accuracy.add_metric([str(production)], metrics["accuracy"])
    yield accuracy
    alerts = GaugeMetricFamily("champipy_open_alerts", "Alerts that are open.", labels=["kind"])
    opened = Alert.objects.filter(status=Alert.Status.OPEN).order_by().values_list("kind")
    for kind, count in opened.annotate(count=Count("pk")):
        alerts.add_metric([kind], count)
    yield alerts


def queues(now: datetime) -> Iterator[Metric]:
    """Tell how many messages wait for each kind of worker; nothing while Valkey is away."""
    waiting = GaugeMetricFamily(
        "champipy_queue_messages", "Messages that no worker has taken yet.", labels=["queue"]
    )
    try:
        for queue in QUEUES:
            waiting.add_metric([queue], int(valkey_client().llen(queue)))
    except redis.RedisError:
        return
    yield waiting


def space(now: datetime) -> Iterator[Metric]:
    """Tell how large the database is, and how full the disk of this machine's CHAMPIPY_HOME."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        [database_bytes] = cursor.fetchone()
    yield _gauge("database_bytes", "Size of the database.", database_bytes)
    disk = shutil.disk_usage(settings.CHAMPIPY_HOME)
    yield _gauge("disk_bytes", "Size of the disk of CHAMPIPY_HOME.", disk.total)
    yield _gauge("disk_free_bytes", "Free space on it.", disk.free)


READERS: tuple[Callable[[datetime], Iterator[Metric]], ...] = (
    pending,
    answers,
    quality,
    queues,
    space,
)


def _gauge(name: str, text: str, value: Any) -> Metric:
    return GaugeMetricFamily(f"champipy_{name}", text, value=float(value))


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0


def _lower(value: bool | None) -> str:
    return "" if value is None else str(value).lower()
