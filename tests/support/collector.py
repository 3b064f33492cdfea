"""A collector of OpenTelemetry on 127.0.0.1: it reads the spans that are sent to it."""

import gzip
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support.local_server import LocalServer, QuietServer


@dataclass(frozen=True)
class ReceivedSpan:
    service: str
    name: str
    trace: str
    span: str
    parent: str
    """Empty: none."""
    attributes: dict[str, str]


class Collector(LocalServer):
    """Takes spans as protobuf over HTTP. While `is_slow` is set, it answers nothing."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.is_slow = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if collector.is_slow.is_set():
                    collector.closing.wait()
                    return
                assert self.path == "/v1/traces"
                collector.spans += read_spans(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: object) -> None:
                return

        super().__init__(QuietServer(("127.0.0.1", 0), Handler))


def read_spans(request: ExportTraceServiceRequest) -> list[ReceivedSpan]:
    return [
        ReceivedSpan(
            service=next(
                each.value.string_value
                for each in resource.resource.attributes
                if each.key == "service.name"
            ),
            name=span.name,
            trace=span.trace_id.hex(),
            span=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            attributes={
                each.key: each.value.string_value or str(each.value.int_value)
                for each in span.attributes
            },
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
