"""Traces for OpenTelemetry: one for a prediction, through all processes."""

import json
import time
from collections.abc import Iterator

import pytest
import requests
from celery.app.trace import trace_task
from rest_framework.test import APIClient

from champipy_site.celery import app
from common import tracing
from predictions.models import Prediction
from predictions.tasks import fetch_prediction
from tests.support.api import PREDICTIONS, client_of
from tests.support.collector import Collector, ReceivedSpan
from tests.support.photo_server import PhotoServer
from tests.support.stack import eventually, prepared_stack

FROM_PROXY = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        yield server


@pytest.fixture(autouse=True)
def _fetched(photo_server: PhotoServer, settings) -> None:
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})


@pytest.fixture
def _traced(collector: Collector, settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Switch traces on in this process."""
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = f"http://{collector.address}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{collector.address}")
    first, *others = settings.MIDDLEWARE
    settings.MIDDLEWARE = [first, "champipy_site.tracing.traced_requests", *others]
    yield
    tracing.stop_tracing()


def one(spans: list[ReceivedSpan], name: str) -> ReceivedSpan:
    [found] = [span for span in spans if span.name == name]
    return found


def ask(client: APIClient, server: PhotoServer, **headers: str) -> Prediction:
    body = {"file": f"http://{server.address}/drawn.jpg?traced"}
    headers |= {"Prefer": "respond-async"}
    answer = client.post(PREDICTIONS, body, format="json", headers=headers)
    assert answer.status_code == 202
    return Prediction.objects.get(pk=answer.json()["id"])


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_traced", "lost_messages", "production")
def test_a_task_belongs_to_the_request_whoever_sends_it(
    users, collector: Collector, photo_server: PhotoServer
) -> None:
    prediction = ask(client_of(users["alice"]), photo_server, traceparent=FROM_PROXY)
    with tracing.span("of somebody else"):
        headers = {"trace_parent": prediction.trace_parent, "request_id": prediction.request_id}
        # As workers do it.
        trace_task(fetch_prediction, "an id", (prediction.pk,), {}, request=headers, app=app)
    tracing.stop_tracing()
    asked = one(collector.spans, "POST prediction-list")
    task = one(collector.spans, "predictions.tasks.fetch_prediction")
    assert asked.parent == ""  # nobody but a proxy of ours decides where it belongs
    assert (task.trace, task.parent) == (asked.trace, asked.span)
    assert one(collector.spans, "fetch").parent == task.span
    assert asked.attributes["champipy.request"] == prediction.request_id
    assert task.attributes["champipy.request"] == prediction.request_id
    assert task.attributes["champipy.outcome"] == "success"
    assert photo_server.address not in str(collector.spans)  # what people ask about is theirs


@pytest.mark.django_db
@pytest.mark.usefixtures("_traced", "lost_messages", "production")
def test_the_trace_of_a_proxy_goes_on(
    users, collector: Collector, photo_server: PhotoServer, settings
) -> None:
    settings.TRUSTED_PROXIES = 1
    prediction = ask(client_of(users["alice"]), photo_server, traceparent=FROM_PROXY)
    tracing.stop_tracing()
    asked = one(collector.spans, "POST prediction-list")
    assert (asked.trace, asked.parent) == (FROM_PROXY[3:35], FROM_PROXY[36:52])
    assert prediction.trace_parent == f"00-{asked.trace}-{asked.span}-01"


@pytest.mark.django_db
@pytest.mark.usefixtures("_traced", "lost_messages", "production")
def test_a_slow_collector_holds_nobody_up(
    users, collector: Collector, photo_server: PhotoServer
) -> None:
    collector.is_slow.set()
    ask(client_of(users["alice"]), photo_server)
    began = time.monotonic()
    tracing.stop_tracing()
    assert time.monotonic() - began < 2 * tracing.STOP_S
    assert collector.spans == []


@pytest.mark.django_db
@pytest.mark.usefixtures("lost_messages", "production")
def test_nothing_is_traced_unless_it_is_switched_on(users, photo_server: PhotoServer) -> None:
    prediction = ask(client_of(users["alice"]), photo_server, traceparent=FROM_PROXY)
    assert prediction.trace_parent == ""
    with tracing.span("a") as span:
        assert span is None
        assert tracing.current_trace_parent() == ""


@pytest.mark.slow
def test_one_trace_leads_through_all_processes(
    collector: Collector, photo_server: PhotoServer
) -> None:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "CHAMPIPY_FETCH_ALLOW": photo_server.address,
    }
    with prepared_stack(**environment) as stack:
        assert stack.up().returncode == 0
        login = {"username": "alice", "password": "wonderland"}
        token = requests.post(f"{stack.url}/api/v1/token", json=login, timeout=30).json()["token"]
        answer = requests.post(
            f"{stack.url}{PREDICTIONS}",
            json={"file": f"http://{photo_server.address}/drawn.jpg?stack"},
            headers={"Authorization": f"Token {token}", "X-Request-Id": "traced"},
            timeout=60,
        )
        assert answer.json()["status"] == "done", json.dumps(answer.json())

        def of_request() -> dict[str, ReceivedSpan]:
            asked = one(collector.spans, "POST prediction-list")
            return {span.name: span for span in collector.spans if span.trace == asked.trace}

        names = {
            "POST prediction-list": "champipy-web",
            "predictions.tasks.fetch_prediction": "champipy-fetch",
            "fetch": "champipy-fetch",
            "score": "champipy-inference",
            "engine": "champipy-inference",
        }
        assert eventually(lambda: {*names} <= {span.name for span in collector.spans}, 30)
        spans = of_request()
        assert {name: span.service for name, span in spans.items()} == names
        asked = spans["POST prediction-list"]
        for task, inside in (("predictions.tasks.fetch_prediction", "fetch"), ("score", "engine")):
            of_task = spans[task]
            assert of_task.parent == asked.span
            assert of_task.attributes["champipy.request"] == "traced"
            assert spans[inside].parent == of_task.span
