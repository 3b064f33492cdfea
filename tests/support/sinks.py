"""A mail server and a web server on 127.0.0.1 that keep what they receive."""

import json
import socketserver
import threading
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    sink: "Sink"


class Sink:
    """A server on 127.0.0.1 that keeps what it receives. It keeps its port when restarted."""

    handler: type[socketserver.BaseRequestHandler]

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.port = 0
        self.is_refusing = False
        self.start()

    def start(self) -> None:
        self._server = _Server(("127.0.0.1", self.port), self.handler)
        self._server.sink = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Smtp(socketserver.StreamRequestHandler):
    """The part of RFC 5321 that a client needs in order to deliver mail."""

    def handle(self) -> None:
        sink = self.server.sink  # type: ignore[attr-defined]
        self.reply("220 sink")
        recipients: list[str] = []
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"RCPT":
                recipients.append(line.decode().split("<")[1].split(">")[0])
                self.reply("550 not now" if sink.is_refusing else "250 OK")
            elif verb == b"DATA":
                self.reply("354 go on")
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line)
                message = message_from_bytes(b"".join(lines))
                sink.received.append((message, recipients))
                self.reply("250 OK")
            elif verb == b"QUIT":
                self.reply("221 bye")
                return
            else:
                if verb == b"MAIL":  # of the next message on this connection
                    recipients = []
                self.reply("250 OK")

    def reply(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class _Http(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        sink = self.server.sink  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not sink.is_refusing:
            sink.received.append(json.loads(body))
        self.send_response(500 if sink.is_refusing else 200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        return


class MailServer(Sink):
    """A mail server. `received` holds pairs of message and recipients."""

    handler = _Smtp
    received: list[tuple[Message, list[str]]]


class WebHook(Sink):
    """A web server. `received` holds the posted JSON bodies."""

    handler = _Http
    received: list[dict[str, Any]]
