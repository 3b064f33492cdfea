"""`/livez`, `/readyz` and the metrics for Prometheus."""

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from predictions.models import Prediction
from supervision.models import Alert
from supervision.monitoring.metrics import LATELY
from tests.support.rows import answered_prediction, version_row

pytestmark = pytest.mark.django_db
TOKEN = "a token of Prometheus"


@pytest.fixture(autouse=True)
def _token(settings) -> None:
    settings.CHAMPIPY_METRICS_TOKEN = TOKEN


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


def test_metrics_tell_alerts_queues_and_requests(client: Client) -> None:
    Alert.objects.create(kind="low_accuracy", value=60, threshold=70)
    client.get("/livez")
    metrics = scraped(client)
    assert value(metrics, "open_alerts", kind="low_accuracy") == 1
    assert value(metrics, "queue_messages", queue="inference") >= 0
    count = value(metrics, "request_seconds_count", method="GET", view="livez", status="200")
    assert count >= 1


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
