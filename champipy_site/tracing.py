"""Traces of requests. `champipy_site/task_signals.py` traces tasks."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from common.request_id import request_id
from common.tracing import span


def traced_requests(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Trace requests. The trace of a proxy goes on; what else a client sends begins its own."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        sent = request.headers.get("traceparent", "") if settings.TRUSTED_PROXIES else ""
        with span(
            str(request.method),
            trace_parent=sent,
            kind="server",
            http_request_method=str(request.method),
            champipy_request=request_id.get(),
        ) as current:
            response = get_response(request)
            if current is not None:
                match = request.resolver_match
                route = (match.view_name or match.route) if match else "none"
                current.update_name(f"{request.method} {route}")
                current.set_attribute("http.route", route)
                current.set_attribute("http.response.status_code", response.status_code)
        return response

    return middleware
