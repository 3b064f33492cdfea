"""The whole API beside the bare engine, in one run on the same cores, on a stack of its own.

    .venv/bin/python -m benchmarks.api

Photos are drawn, each another one, 320 x 240 pixels as most of Mushroom Observer's thumbnails are.
"""

import argparse
import io
import itertools
import os
import statistics
import subprocess
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from benchmarks.timing import median_ms
from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.preprocessing import to_input

PROJECT = Path(__file__).resolve().parent.parent
PRETRAINED = PROJECT / "mlmodels" / "pretrained"
_numbers = itertools.count(time.time_ns() % 10**9)


def new_photo() -> bytes:
    """Return the bytes of a JPEG that nobody has sent before."""
    generator = np.random.default_rng(next(_numbers))
    coarse = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    data = io.BytesIO()
    coarse.resize((320, 240), Image.Resampling.BICUBIC).save(data, "JPEG", quality=85)
    return data.getvalue()


class Client:
    """A user with a token and a kept connection."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.session = requests.Session()
        login = {"username": "alice", "password": "wonderland"}
        token = self.session.post(f"{base}/token", json=login, timeout=10).json()["token"]
        self.session.headers["Authorization"] = f"Token {token}"

    def predict(self, photo: bytes) -> dict:
        """Upload a photo and return its prediction; raises on anything but a 200."""
        response = self.session.post(
            f"{self.base}/predictions", files={"file": ("photo.jpg", photo)}, timeout=60
        )
        if response.status_code != 200:
            raise RuntimeError(f"{response.status_code}: {response.text[:200]}")
        return response.json()


def throughput(base: str, clients: int, seconds: float) -> float:
    """Return the new photos a second that so many clients at once get answered."""
    counts = [0] * clients
    users = [Client(base) for _ in range(clients)]
    photos = [[new_photo() for _ in range(int(seconds * 10))] for _ in range(clients)]
    stop = time.perf_counter() + seconds

    def work(index: int) -> None:
        for photo in photos[index]:
            if time.perf_counter() > stop:
                return
            users[index].predict(photo)
            counts[index] += 1
        raise RuntimeError("More photos were answered than were drawn: draw more.")

    threads = [threading.Thread(target=work, args=(index,)) for index in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def measure(base: str, repeats: int, seconds: float) -> None:
    """Print the figures, each beside its target."""
    size = read_artifact(PRETRAINED).card.input_size
    engine = LiteRTEngine.load(PRETRAINED / "engine.tflite", num_threads=os.cpu_count() or 1)
    pixels = to_input(Image.open(io.BytesIO(new_photo())).convert("RGB"), size)
    score = partial(engine.score, pixels)
    client = Client(base)
    known, *new = [new_photo() for _ in range(repeats + 4)]
    before = median_ms([score] * repeats)
    new_ms = median_ms([partial(client.predict, photo) for photo in new])
    client.predict(known)
    reused_ms = median_ms([partial(client.predict, known)] * repeats)
    rate = throughput(base, 8, seconds)
    bare = statistics.mean([before, median_ms([score] * repeats)])
    print(f"bare engine, one photo:          {bare:7.1f} ms  ({1000 / bare:.1f} photos/s)")
    print(f"new photo through the API:       {new_ms:7.1f} ms  (target {1.6 * bare + 25:.1f})")
    print(f"reused photo through the API:    {reused_ms:7.1f} ms  (target 15.0)")
    share = rate * bare / 1000
    print(f"eight clients with new photos:   {rate:7.1f} photos/s, {share:.0%} (target 60 %)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", help="a running stack's API, else one is started for this run")
    parser.add_argument("--port", default="8765")
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    if options.base:
        measure(options.base, options.repeats, options.seconds)
        return
    with tempfile.TemporaryDirectory(prefix="champipy-benchmark-") as home:
        environment = os.environ | {"CHAMPIPY_HOME": str(Path(home) / "home")}
        script = str(PROJECT / "champipy")
        subprocess.run(
            [script, "up", "--detach", "--port", options.port], env=environment, check=True
        )
        try:
            base = f"http://127.0.0.1:{options.port}/api/v1"
            measure(base, options.repeats, options.seconds)
        finally:
            subprocess.run([script, "down"], env=environment, check=True)


if __name__ == "__main__":
    main()
