"""Two independent object stores that speak S3, and a proxy that makes one slow, failing or lying.

Each runs as a process of its own on 127.0.0.1, from packages that requirements-dev.txt has.
"""

import http.client
import itertools
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from champipy_site.stack.ports import choose_port

KINDS = ("moto", "rclone")
BUCKET = "champipy"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIATESTSONLY",
    "AWS_SECRET_ACCESS_KEY": "a-secret-that-no-log-may-show",
}


@dataclass
class ObjectStore:
    """A running store with an empty bucket."""

    kind: str
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, prefix: str = "", *, address: str = "", bucket: str = BUCKET) -> str:
        """Return a value of CHAMPIPY_STORAGE_URL; `address`: of a proxy before the store."""
        endpoint = f"http://{address or self.address}"
        return f"s3://{bucket}/{prefix}?endpoint={endpoint}"

    @property
    def client(self) -> Any:
        """Return a client of its own, which knows nothing of ChampiPy."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://{self.address}",
            region_name="us-east-1",
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}),
        )

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of all objects."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def read(self, key: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def write(self, key: str, data: bytes) -> None:
        """Replace an object's bytes; its metadata goes."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)


@contextmanager
def running_store(kind: str) -> Iterator[ObjectStore]:
    """Run one of KINDS while the block runs."""
    folder = Path(tempfile.mkdtemp(prefix="champipy store "))
    port = choose_port()
    if kind == "moto":
        command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    else:
        rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        assert rclone, "rclone is in requirements-dev.txt"
        keys = ",".join(CREDENTIALS.values())
        command = [rclone, "serve", "s3", "--config", str(folder / "rclone.conf")]
        command += ["--addr", f"127.0.0.1:{port}", "--auth-key", keys, str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    store = ObjectStore(kind, port)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                store.client.create_bucket(Bucket=BUCKET)
                break
            except Exception:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
        yield store
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Request:
    """A request as the proxy has read it."""

    number: int
    method: str
    path: str


Fault = str
"""What happens to a request: "" (nothing), or one of FAULTS."""
FAULTS = {
    "drop": "the connection is closed before the store sees the request",
    "lose": "the store does it, and the connection is closed before it has answered",
    "error": "503, and the store sees nothing",
    "cut": "the answer's body ends in the middle",
    "corrupt": "a byte of the answer's body is another one",
    "hang": "nothing is answered until the proxy stops",
    "drip": "the body comes a byte at a time",
}


@dataclass
class Proxy:
    """Stands before a store. `plan` says what happens to each request."""

    backend: str
    plan: Callable[[Request], Fault] = lambda request: ""
    delay_s: float = 0.0
    port: int = 0
    seen: list[Request] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def one_in(self, n: int, *faults: Fault) -> None:
        """Have every n-th request meet one of the faults, in turn."""
        turns = itertools.cycle(faults)
        self.plan = lambda request: next(turns) if request.number % n == 0 else ""


@contextmanager
def running_proxy(store: ObjectStore) -> Iterator[Proxy]:
    """Run a proxy before a store while the block runs."""
    proxy = Proxy(store.address)
    numbers = itertools.count(1)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with suppress(ConnectionError):
                super().handle_one_request()

        def log_message(self, *args: Any) -> None:
            pass

        def _pass_on(self) -> None:
            with lock:
                request = Request(next(numbers), self.command, self.path)
                proxy.seen.append(request)
                fault = proxy.plan(request)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            time.sleep(proxy.delay_s)
            if fault == "hang":
                proxy.stopping.wait(60)
            if fault in ("hang", "drop"):
                self.close_connection = True
                return
            if fault == "error":
                self._answer(503, {}, b"<Error><Code>SlowDown</Code></Error>")
                return
            connection = http.client.HTTPConnection(proxy.backend, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            if fault == "lose":
                self.close_connection = True
                return
            if fault == "corrupt" and data:
                middle = len(data) // 2
                data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
            self._answer(answer.status, dict(answer.getheaders()), data, fault)

        def _answer(
            self, status: int, headers: dict[str, str], data: bytes, fault: Fault = ""
        ) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else len(data)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault == "cut":
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
            elif fault == "drip":
                for byte in data:
                    if proxy.stopping.wait(0.05):
                        break
                    self.wfile.write(bytes([byte]))
                self.close_connection = True
            else:
                self.wfile.write(data)

    for method in ("GET", "PUT", "HEAD", "DELETE", "POST"):
        setattr(Handler, f"do_{method}", Handler._pass_on)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


def new_prefix() -> str:
    """Return a prefix that no test has used, so that tests share a bucket."""
    return secrets.token_hex(6)


@dataclass
class StoredFiles:
    """All files of the process's storages: in an object store, below a prefix of their own."""

    store: ObjectStore
    prefix: str
    home: Path

    def remote(self) -> list[str]:
        """Return the keys below the prefix, without it, sorted."""
        return [key.removeprefix(f"{self.prefix}/") for key in self.store.keys(f"{self.prefix}/")]

    def local(self) -> list[str]:
        """Return the files in the home."""
        return sorted(
            str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file()
        )
