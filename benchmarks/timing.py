"""Timing for benchmarks."""

import statistics
import time
from collections.abc import Callable, Iterable


def median_ms(calls: Iterable[Callable[[], object]]) -> float:
    """Return the median time of the calls in milliseconds, without the first three calls."""
    times = []
    for call in calls:
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[3:])
