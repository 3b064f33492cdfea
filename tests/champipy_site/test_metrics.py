"""`/livez`, `/readyz` and the metrics for Prometheus."""

import subprocess
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from celery import current_app
from django.db import transaction
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from accounts.models import User
from common.metric_totals import KEY
from common.valkey import valkey_client
from predictions.models import Prediction
from supervision.models import Alert
from supervision.monitoring.metrics import LATELY
from tests.support.api import PREDICTIONS
from tests.support.rows import answered_prediction, version_row
from tests.support.stack import eventually

pytestmark = pytest.mark.django_db
TOKEN = "a token of Prometheus"


@pytest.fixture(autouse=True)
def _token(settings) -> None:
    settings.CHAMPIPY_METRICS_TOKEN = TOKEN


@pytest.fixture
def _no_totals() -> None:
    valkey_client().delete(KEY)


def scraped(client: Client) -> dict[tuple[str, frozenset], float]:
    """Return the value of each metric by its name and labels."""
    answer = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    samples = [sample for family in families for sample in family.samples]
    return {(each.name, frozenset(each.labels.items())): each.value for each in samples}


def value(metrics: dict, name: str, **labels: str) -> float:
    return metrics[(f"champipy_{name}", frozenset(labels.items()))]


def test_metrics_are_nobodys_by_default(client: Client, settings) -> None:
    assert client.get("/metrics").status_code == 401
    wrong = client.get("/metrics", headers={"authorization": "Bearer guess"})
    assert wrong.status_code == 401
    assert "champipy_" not in wrong.text
    settings.CHAMPIPY_METRICS_TOKEN = ""
    for sent in ("Bearer ", "Bearer guess"):
        assert client.get("/metrics", headers={"authorization": sent}).status_code == 404


def test_metrics_tell_what_people_were_answered(client: Client, users) -> None:
    version = version_row()
    alice = users["alice"]
    first = answered_prediction(95.0, version, user=alice)
    Prediction.objects.filter(pk=first.pk).update(
        verdict={"verdict": "contradicted", "score": 0.5, "because": None}
    )
    long_ago = answered_prediction(95.0, version, user=alice)
    Prediction.objects.filter(pk=long_ago.pk).update(created_at=timezone.now() - 2 * LATELY)
    own = answered_prediction(95.0, version, user=alice)
    Prediction.objects.filter(pk=own.pk).update(is_background=True)
    Prediction.objects.create(
        user=alice, file="a", is_upload=True, status="failed", error_code="image_broken"
    )
    metrics = scraped(client)
    scope = {None: "", True: "true", False: "false"}[first.inference.in_scope]
    done = {"version": str(version), "status": "done", "reused": "false", "in_scope": scope}
    assert value(metrics, "answers", **done) == 1
    failed = {"version": "", "status": "failed", "reused": "false", "in_scope": ""}
    assert value(metrics, "answers", **failed) == 1
    assert value(metrics, "verdicts", verdict="contradicted") == 1
    assert value(metrics, "failures", code="image_broken") == 1
    assert value(metrics, "accuracy_ratio", version=str(version)) == 0.9


def test_metrics_tell_how_long_people_wait(client: Client, users) -> None:
    metrics = scraped(client)
    assert value(metrics, "oldest_pending_seconds") == 0
    pending = {"file": "a", "is_upload": True, "user": users["alice"]}
    Prediction.objects.create(**pending, created_at=timezone.now() - 3 * LATELY)
    Prediction.objects.create(**pending, is_background=True)
    metrics = scraped(client)
    assert value(metrics, "oldest_pending_seconds") >= 3 * LATELY.total_seconds()
    assert value(metrics, "pending_predictions") == 2
    assert value(metrics, "pending_predictions_of_people") == 1


def test_metrics_tell_how_long_people_wait_for_each_worker(client: Client, users) -> None:
    now = timezone.now()
    pending = {"file": "a", "is_upload": False, "user": users["alice"]}
    for minutes, fields in (
        (1, {"sha256": "a" * 64}),
        (9, {"sha256": "b" * 64, "is_background": True}),
        (2, {}),
        (3, {"fetch_at": now + LATELY}),  # its turn comes later
        (4, {"fetch_at": now - timedelta(minutes=2.5)}),
    ):
        Prediction.objects.create(**pending, **fields, created_at=now - timedelta(minutes=minutes))
    metrics = scraped(client)
    assert 60 <= value(metrics, "oldest_waiting_seconds", worker="inference") < 90
    assert 150 <= value(metrics, "oldest_waiting_seconds", worker="fetch") < 180


def test_metrics_tell_alerts_queues_and_requests(client: Client) -> None:
    Alert.objects.create(kind="low_accuracy", value=60, threshold=70)
    client.get("/livez")
    metrics = scraped(client)
    assert value(metrics, "open_alerts", kind="low_accuracy") == 1
    assert value(metrics, "queue_messages", queue="inference") >= 0
    count = value(metrics, "request_seconds_count", method="GET", view="livez", status="200")
    assert count >= 1


def test_metrics_tell_how_much_space_there_is(client: Client) -> None:
    metrics = scraped(client)
    assert value(metrics, "database_bytes") > 1_000_000
    assert 0 < value(metrics, "disk_free_bytes") < value(metrics, "disk_bytes")


Samples = tuple[tuple[str, dict[str, str]], ...]
INFERENCE = "predictions.tasks.infer_prediction"
FETCH = "predictions.tasks.fetch_prediction"


@pytest.mark.django_db(transaction=True)
def test_workers_tell_what_they_did(
    client: Client, alice, users, workers, photo_server, production, settings, _no_totals
) -> None:
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})
    body = {"file": f"http://{photo_server.address}/drawn.jpg?metrics"}
    assert alice.post(PREDICTIONS, body, format="json").status_code == 200
    of_photo: Samples = (
        ("tasks_total", {"task": FETCH, "outcome": "success"}),
        ("task_seconds_count", {"task": FETCH}),
        ("scoring_wait_seconds_count", {}),
        ("queue_wait_seconds_count", {"queue": "fetch"}),
        ("engine_seconds_count", {}),
        ("fetch_seconds_count", {}),
    )
    assert eventually(lambda: are_told(client, *of_photo), 30)
    kill_task_of(workers["inference"], users["alice"])
    current_app.send_task(FETCH, (0,), expires=datetime(2026, 1, 1, tzinfo=UTC))
    of_others: Samples = (
        ("tasks_total", {"task": INFERENCE, "outcome": "killed"}),
        ("tasks_total", {"task": FETCH, "outcome": "expired"}),
        ("engine_seconds_count", {}),  # which the child that was killed had told already
    )
    assert eventually(lambda: are_told(client, *of_others), 30)


def are_told(client: Client, *samples: tuple[str, dict[str, str]]) -> bool:
    metrics = scraped(client)
    return all(
        metrics.get((f"champipy_{name}", frozenset(labels.items())), 0) >= 1
        for name, labels in samples
    )


def kill_task_of(worker: subprocess.Popen, user: User) -> None:
    """Kill the worker's child while it works on a prediction, which waits for its row."""
    held = Prediction.objects.create(user=user, file="a", is_upload=True)
    inspect = current_app.control.inspect(["inference@test"], timeout=1)
    with transaction.atomic():
        Prediction.objects.select_for_update().get(pk=held.pk)
        current_app.send_task(INFERENCE, (held.pk,))
        assert eventually(lambda: any((inspect.active() or {}).values()), 10)
        [child] = psutil.Process(worker.pid).children()
        child.kill()


def test_clients_make_up_no_labels(client: Client) -> None:
    client.generic("FANTASY", "/finds/1/fantasy")
    assert not [labels for _, labels in scraped(client) if "fantasy" in str(labels).lower()]


def test_a_scrape_costs_few_queries(client: Client, django_assert_max_num_queries) -> None:
    version_row()
    with django_assert_max_num_queries(14):
        scraped(client)


def test_it_is_alive_whatever_happens_and_ready_with_a_model(client: Client) -> None:
    assert client.get("/livez").text == "ok\n"
    assert client.get("/readyz").status_code == 503
