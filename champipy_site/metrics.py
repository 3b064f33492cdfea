"""`GET /metrics` for Prometheus: the service as a whole, and what all its processes measure."""

import logging
import secrets
import time
from collections.abc import Callable

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from common.metric_totals import TotalsCollector
from common.metrics import REQUEST_SECONDS
from supervision.monitoring.metrics import ServiceCollector

logger = logging.getLogger("champipy_site.requests")

scraped = CollectorRegistry()
scraped.register(ServiceCollector())
scraped.register(TotalsCollector())
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def measured_requests(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Measure requests, and log them where logs are JSON.

    Views are named by their URL pattern, so that clients cannot make up labels.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response = get_response(request)
        took = time.perf_counter() - began
        match = request.resolver_match
        labels = {
            "method": request.method if request.method in METHODS else "other",
            "view": (match.view_name or match.route) if match else "none",
            "status": str(response.status_code),
        }
        REQUEST_SECONDS.labels(**labels).observe(took)
        if logger.isEnabledFor(logging.INFO):
            path = request.path_info[:200]  # without the query, which may hold what is secret
            fields = {**labels, "path": path, "duration_ms": round(took * 1000, 1)}
            text = "%s %s was answered with %s"
            values = (labels["method"], path, response.status_code)
            logger.info(text, *values, extra={"fields": fields})
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
    return HttpResponse(generate_latest(scraped), content_type=CONTENT_TYPE_LATEST)
