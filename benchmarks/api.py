"""Compares the whole API with its engine alone, and with a plain LitServe around that engine.

    .venv/bin/python -m benchmarks.api

It starts a stack of its own and LitServe (installed into a folder under `var/` by pip), and takes
turns with them, `--rounds` times; what is printed are medians of the rounds. The photos are drawn,
all different, of 320 x 240 pixels, like most thumbnails of Mushroom Observer. The clients keep
their connections, and run on the same cores.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import venv
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil

from benchmarks.service import ALICE, PRETRAINED, PROJECT, new_photo, processes, stack
from benchmarks.timing import median_ms
from champipy_site.stack.ports import choose_port
from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.preprocessing import decode_photo, to_input

LITSERVE = ("litserve==0.2.19", "python-multipart")
BOUNDARY = "champipy-benchmark"
CLIENTS = 8


class Connection:
    """A persistent connection to a server of predictions."""

    def __init__(self, port: int, path: str, token: str | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.path = path
        self.headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        if token is not None:
            self.headers |= {"Authorization": f"Token {token}", "Prefer": "wait=30"}

    def send(self, body: bytes) -> None:
        """Upload a photo and wait for its answer; raise RuntimeError for any status but 200."""
        self._request("POST", self.path, body)

    def get(self, path: str) -> None:
        """Get a page; raise RuntimeError for any status but 200."""
        self._request("GET", path, None)

    def _request(self, method: str, path: str, body: bytes | None) -> None:
        try:
            self.connection.request(method, path, body, self.headers)
            response = self.connection.getresponse()
        except (ConnectionError, http.client.HTTPException):
            self.connection.close()  # the server closed it, as it was idle for a turn of the other
            self.connection.request(method, path, body, self.headers)
            response = self.connection.getresponse()
        text = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(f"{response.status}: {text[:200]!r}")


def upload_of_new_photo() -> bytes:
    """Return the body of a request with a photo that has not been sent before."""
    head = (
        f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
        'Content-Disposition: form-data; name="file"; filename="photo.jpg"\r\n\r\n'
    )
    return head.encode() + new_photo() + f"\r\n--{BOUNDARY}--\r\n".encode()


def throughput(connections: list[Connection], bodies: list[list[bytes]], seconds: float) -> float:
    """Return how many photos per second are answered to clients at once; each has its bodies."""
    counts = [0] * len(connections)
    deadline = time.perf_counter() + seconds

    def send_photos(index: int) -> None:
        for body in bodies[index]:
            if time.perf_counter() > deadline:
                return
            connections[index].send(body)
            counts[index] += 1
        raise RuntimeError("All drawn photos were sent before the time was over: draw more.")

    threads = [threading.Thread(target=send_photos, args=(i,)) for i in range(len(connections))]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def core_seconds(home: Path) -> dict[str, float]:
    """Return the processor time that the stack with this home has taken, by kind of process."""
    taken: defaultdict[str, float] = defaultdict(float)
    for kind, process in processes(home):
        with suppress(psutil.Error):  # it has just ended
            times = process.cpu_times()
            taken[kind] += times.user + times.system
    own = psutil.Process().cpu_times()
    return {**taken, "clients": own.user + own.system}


@contextmanager
def litserve() -> Iterator[int]:
    """Start LitServe with all cores for its engine; yield its port."""
    folder = PROJECT / "var" / "benchmarks" / "litserve"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *LITSERVE], check=True)
    port = choose_port()
    path = os.pathsep.join([str(PROJECT), *(part for part in sys.path if "site-packages" in part)])
    server = subprocess.Popen(
        [python, "-P", "-m", "benchmarks.litserve_server", "--port", str(port)],
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        connection, body = Connection(port, "/predict"), upload_of_new_photo()
        for _ in range(120):
            try:
                connection.send(body)
                break
            except (OSError, RuntimeError, http.client.HTTPException):
                connection.connection.close()
                time.sleep(0.5)
        yield port
    finally:
        for process in [*psutil.Process(server.pid).children(recursive=True), server]:
            process.kill()


def measure(api: int, home: Path, other: int, options: argparse.Namespace) -> None:
    """Print each measured value with its target; `api` and `other` are the servers' ports.

    `home`: ChampiPy's.
    """
    artifact = read_artifact(PRETRAINED)
    engine = artifact.load_engine(os.cpu_count() or 1)
    pixels = to_input(decode_photo(new_photo()), artifact.card.input_size)
    login = json.dumps(dict(zip(("username", "password"), ALICE, strict=True)))
    connection = http.client.HTTPConnection("127.0.0.1", api)
    connection.request("POST", "/api/v1/token", login, {"Content-Type": "application/json"})
    token = json.loads(connection.getresponse().read())["token"]
    ours = [Connection(api, "/api/v1/predictions", token) for _ in range(CLIENTS)]
    theirs = [Connection(other, "/predict") for _ in range(CLIENTS)]
    reused = upload_of_new_photo()
    ours[0].send(reused)
    results = defaultdict(list)
    per_photo = defaultdict(list)
    for _ in range(options.rounds):
        results["engine"].append(median_ms([partial(engine.score, pixels)] * options.photos))
        for name, connections in (("ours", ours), ("theirs", theirs)):
            new = [
                partial(connections[0].send, upload_of_new_photo()) for _ in range(options.photos)
            ]
            results[f"{name}, one"].append(median_ms(new))
            count = int(options.seconds * 15)
            bodies = [[upload_of_new_photo() for _ in range(count)] for _ in connections]
            before = core_seconds(home)
            rate = throughput(connections, bodies, options.seconds)
            results[f"{name}, eight"].append(rate)
            if name == "ours":
                for kind, taken in core_seconds(home).items():
                    per_photo[kind].append(1000 * (taken - before[kind]) / (rate * options.seconds))
        results["reused"].append(median_ms([partial(ours[0].send, reused)] * options.photos))
        results["status"].append(
            median_ms([partial(ours[0].get, "/api/v1/status")] * options.photos)
        )
        results["engine"].append(median_ms([partial(engine.score, pixels)] * options.photos))
    report({name: statistics.median(values) for name, values in results.items()})
    print("milliseconds of a core for a new photo, eight clients:")
    for kind in per_photo:
        print(f"    {kind:20} {statistics.median(per_photo[kind]):6.1f}")


def report(of: dict[str, float]) -> None:
    """Print what was measured, with the targets."""
    engine, rate = of["engine"], of["ours, eight"]
    pace = 1000 / engine
    print(f"engine alone                 {engine:6.1f} ms, {pace:.1f} photos/s")
    print(f"LitServe: one client         {of['theirs, one']:6.1f} ms")
    print(f"          eight clients      {of['theirs, eight']:6.1f} photos/s")
    print(f"ChampiPy: one client         {of['ours, one']:6.1f} ms, {of['ours, one'] / engine:.2f}")
    print("                             of the engine's time (target 1.7)")
    print(f"          eight clients      {rate:6.1f} photos/s: {rate / pace:.0%} of the engine's")
    print(f"                             pace (target 80 %), {rate / of['theirs, eight']:.2f}")
    print("                             of LitServe's (target 0.95)")
    print(f"          a photo again      {of['reused']:6.1f} ms, {of['reused'] - of['status']:.1f}")
    print(f"                             above GET /status, {of['status']:.1f} ms (target 4)")


def main() -> None:
    """Start both servers and measure them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=60, help="of one client, in a round")
    parser.add_argument("--seconds", type=float, default=10, help="for eight clients, in a round")
    options = parser.parse_args()
    port = choose_port()
    with litserve() as other, stack(port) as (_, home):
        measure(port, home, other, options)


if __name__ == "__main__":
    main()
