"""Traces for OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT is set. Else nothing is imported.

A trace of a prediction begins in web, and its row and messages carry it on (`trace_parent`, as
traceparent of W3C's Trace Context), so that each worker's span belongs to the request, however
often it is sent. Spans are sent in the background; what a collector does not take is dropped.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

MAX_LENGTH = 55
"""Characters of a traceparent."""
STOP_S = 3.0
"""How long a process that ends waits for a slow collector."""

_lock = threading.Lock()
_providers: dict[int, "TracerProvider"] = {}  # of this process's id: a fork makes its own
process_name = "other"
"""What spans call the process: web, or the name of a worker. Set it before the first span."""


def name_process(name: str) -> None:
    """Have the spans of this process, and of those that it forks, carry a name."""
    global process_name  # noqa: PLW0603 - this process's only one
    process_name = name


def is_tracing() -> bool:
    """Return whether traces are switched on."""
    return bool(settings.OTEL_EXPORTER_OTLP_ENDPOINT)


@contextmanager
def span(
    name: str, *, trace_parent: str = "", kind: str = "internal", **attributes: Any
) -> Iterator["Span | None"]:
    """Trace a block of code, where traces are switched on; yield its span.

    It belongs to the span with the given traceparent, by default to that of the code around it.
    `kind` is "server", "consumer" or "internal". Attributes have _ in the place of a dot.
    """
    if not is_tracing():
        yield None
        return
    from opentelemetry.trace import SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = None
    if trace_parent:
        context = TraceContextTextMapPropagator().extract({"traceparent": trace_parent})
    with (
        _provider()
        .get_tracer("champipy")
        .start_as_current_span(
            name,
            context=context,
            kind=SpanKind[kind.upper()],
            attributes={name.replace("_", "."): value for name, value in attributes.items()},
            record_exception=False,  # what it says may be secret
            set_status_on_exception=False,
        ) as current
    ):
        try:
            yield current
        except Exception as error:
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def current_trace_parent() -> str:
    """Return the traceparent of the code that runs, or "" outside of spans."""
    if not is_tracing():
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def stop_tracing() -> None:
    """Send the last spans, for STOP_S at most; call it where the process ends."""
    provider = _providers.pop(os.getpid(), None)
    if provider is not None:  # its own limit is ten times as long
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        last.join(STOP_S)


def _provider() -> "TracerProvider":
    with _lock:
        if os.getpid() not in _providers:
            _providers[os.getpid()] = _new_provider()
        return _providers[os.getpid()]


def _new_provider() -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create(
        {"service.name": f"champipy-{process_name}", "service.version": settings.VERSION}
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
