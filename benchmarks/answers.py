"""Measures how fast a running stack answers new photos, sent one second apart.

    .venv/bin/python -m benchmarks.answers --port 8000

Run it once during a training and once without, to compare.
"""

import argparse
import statistics
import time

from benchmarks.service import Client, new_photo


def main() -> None:
    """Print the median and the longest time for an answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--photos", type=int, default=40)
    options = parser.parse_args()
    client = Client(f"http://127.0.0.1:{options.port}/api/v1")
    times = []
    for _ in range(options.photos):
        photo = new_photo()
        started = time.perf_counter()
        client.predict(photo)
        times.append(1000 * (time.perf_counter() - started))
        time.sleep(1)
    print(
        f"All {len(times)} new photos were answered: median {statistics.median(times):.0f} ms, "
        f"longest {max(times):.0f} ms"
    )


if __name__ == "__main__":
    main()
