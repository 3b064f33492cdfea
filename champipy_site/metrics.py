"""`GET /metrics` for Prometheus: the service as a whole, and how this web process answers."""

import secrets
import time
from collections.abc import Callable

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from supervision.monitoring.metrics import ServiceCollector

registry = CollectorRegistry()
ProcessCollector(registry=registry)
PlatformCollector(registry=registry)
registry.register(ServiceCollector())
request_seconds = Histogram(
    "champipy_request_seconds",
    "How long this web process took to answer, by the kind of request.",
    ["method", "view", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=registry,
)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def measured_requests(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Measure requests if metrics are switched on.

    Views are named by their URL pattern, so that clients cannot make up labels.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if not settings.CHAMPIPY_METRICS_TOKEN:
            return get_response(request)
        began = time.perf_counter()
        response = get_response(request)
        match = request.resolver_match
        request_seconds.labels(
            method=request.method if request.method in METHODS else "other",
            view=(match.view_name or match.route) if match else "none",
            status=str(response.status_code),
        ).observe(time.perf_counter() - began)
        return response

    return middleware


def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics to who knows CHAMPIPY_METRICS_TOKEN; without one there are none."""
    token = settings.CHAMPIPY_METRICS_TOKEN
    if not token:
        raise Http404
    sent = request.headers.get("Authorization", "").encode()
    if not secrets.compare_digest(sent, f"Bearer {token}".encode()):
        return HttpResponse(
            "Send the header Authorization: Bearer with CHAMPIPY_METRICS_TOKEN.",
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
