"""Compares the whole API with the engine alone, in one run on the same cores.

    .venv/bin/python -m benchmarks.api

It starts its own stack. The photos are drawn, all different, of 320 x 240 pixels, like most
thumbnails of Mushroom Observer.
"""

import argparse
import os
import statistics
import threading
import time
from functools import partial

from benchmarks.service import PRETRAINED, Client, new_photo, stack
from benchmarks.timing import median_ms
from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.preprocessing import decode_photo, to_input


def throughput(base: str, clients: int, seconds: float) -> float:
    """Return how many new photos per second are answered to `clients` clients at once."""
    counts = [0] * clients
    users = [Client(base) for _ in range(clients)]
    photos = [[new_photo() for _ in range(int(seconds * 10))] for _ in range(clients)]
    deadline = time.perf_counter() + seconds

    def send_photos(index: int) -> None:
        for photo in photos[index]:
            if time.perf_counter() > deadline:
                return
            users[index].predict(photo)
            counts[index] += 1
        raise RuntimeError("All drawn photos were sent before the time was over: draw more.")

    threads = [threading.Thread(target=send_photos, args=(index,)) for index in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def measure(base: str, repeats: int, seconds: float) -> None:
    """Print each measured value with its target."""
    artifact = read_artifact(PRETRAINED)
    engine = artifact.load_engine(os.cpu_count() or 1)
    pixels = to_input(decode_photo(new_photo()), artifact.card.input_size)
    score = partial(engine.score, pixels)
    client = Client(base)
    reused, *new = [new_photo() for _ in range(repeats + 4)]
    engine_ms_before = median_ms([score] * repeats)
    new_ms = median_ms([partial(client.predict, photo) for photo in new])
    client.predict(reused)
    reused_ms = median_ms([partial(client.predict, reused)] * repeats)
    rate = throughput(base, 8, seconds)
    engine_ms = statistics.mean([engine_ms_before, median_ms([score] * repeats)])
    print(
        f"engine alone, one photo:         {engine_ms:7.1f} ms  ({1000 / engine_ms:.1f} photos/s)"
    )
    print(f"new photo through the API:       {new_ms:7.1f} ms  (target {1.6 * engine_ms + 25:.1f})")
    print(f"reused photo through the API:    {reused_ms:7.1f} ms  (target 15.0)")
    share = rate * engine_ms / 1000
    print(f"eight clients with new photos:   {rate:7.1f} photos/s, {share:.0%} (target 60 %)")


def main() -> None:
    """Start a stack and measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with stack(options.port) as (base, _):
        measure(base, options.repeats, options.seconds)


if __name__ == "__main__":
    main()
