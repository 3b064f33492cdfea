"""Sends photos from many clients at once to a new stack; can kill a process halfway.

    .venv/bin/python -m benchmarks.load --clients 32 --seconds 120 --kill inference

Each client sends new photos, and every third time one of twenty known photos. Where a photo is
accepted, but too many requests of its user wait already, the client asks for the answer every
second, as `Retry-After` tells it. Afterwards it prints how many rows there are: one prediction per
request, one inference per photo, none pending, and no incoming file.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import requests

from benchmarks.service import PROJECT, Client, new_photo, stack

COUNT_ROWS = """
import json
from django.conf import settings
from predictions.models import Inference, Photo, Prediction
print(json.dumps({
    "predictions": Prediction.objects.count(),
    "not done": Prediction.objects.exclude(status="done").count(),
    "inferences": Inference.objects.count(),
    "photos": Photo.objects.count(),
    "incoming files": len(list((settings.CHAMPIPY_HOME / "incoming").glob("*"))),
}))
"""


class Load:
    """The clients, and what they measured: status codes, seconds per request, photos sent."""

    def __init__(self, base: str, clients: int, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.codes: Counter[int] = Counter()
        self.times: list[float] = []
        self.sent: set[bytes] = set()
        self.known = [new_photo() for _ in range(20)]
        self.users = [Client(base) for _ in range(clients)]
        self.threads = [
            threading.Thread(target=self.send_photos, args=(user,)) for user in self.users
        ]

    def send_photos(self, user: Client) -> None:
        """Send photos as one user until the time is over."""
        count = 0
        while time.monotonic() < self.deadline:
            count += 1
            photo = random.choice(self.known) if count % 3 == 0 else new_photo()  # noqa: S311
            started = time.monotonic()
            self.codes[self.answer(user, photo)] += 1
            self.times.append(time.monotonic() - started)
            self.sent.add(photo)

    def answer(self, user: Client, photo: bytes) -> int:
        """Send a photo, and return the status code once it is answered; 0 without a response."""
        try:
            response = user.post(photo)
            while response.ok and response.json()["status"] == "pending":
                time.sleep(int(response.headers.get("Retry-After", 1)))
                path = f"{user.base}/predictions/{response.json()['id']}"
                response = user.session.get(path, timeout=60)
        except requests.ConnectionError:
            return 0
        return response.status_code


def kill(home: Path, name: str) -> None:
    """Kill a process of the stack and its children with SIGKILL."""
    process = psutil.Process(
        json.loads((home / "stack.json").read_text())["processes"][name]["pid"]
    )
    for each in [process, *process.children(recursive=True)]:
        os.kill(each.pid, signal.SIGKILL)
    print(f"killed {name}")


def main() -> None:
    """Start a stack, run the clients, and print the answers and the number of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--kill", help="process to kill halfway: inference, fetch, web, …")
    parser.add_argument("--port", type=int, default=8766)
    options = parser.parse_args()
    with stack(options.port) as (base, home):
        load = Load(base, options.clients, options.seconds)
        for thread in load.threads:
            thread.start()
        if options.kill:
            time.sleep(options.seconds / 2)
            kill(home, options.kill)
        for thread in load.threads:
            thread.join()
        print(f"responses by status code: {dict(load.codes)}; photos sent: {len(load.sent)}")
        times = sorted(load.times)
        print(f"median {times[len(times) // 2]:.2f} s, longest {times[-1]:.2f} s")
        environment = os.environ | {"CHAMPIPY_HOME": str(home)}
        command = [str(PROJECT / "champipy"), "shell", "--verbosity", "0", "-c", COUNT_ROWS]
        rows = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        print(rows.stdout.strip())


if __name__ == "__main__":
    main()
