"""What all processes measure. `common/metric_totals.py` sums it up over processes and machines.

Each measurement costs a few microseconds. Labels come from the code, never from a client.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram

registry = CollectorRegistry()

REQUEST_SECONDS = Histogram(
    "champipy_request_seconds",
    "How long web took to answer, by the kind of request.",
    ["method", "view", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=registry,
)
TASKS = Counter(
    "champipy_tasks",
    "Tasks by how they ended: success, failure, killed (with its process), expired (never begun).",
    ["task", "outcome"],
    registry=registry,
)
TASK_SECONDS = Histogram(
    "champipy_task_seconds",
    "How long tasks took, from their beginning in a worker.",
    ["task"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
    registry=registry,
)
QUEUE_WAIT_SECONDS = Histogram(
    "champipy_queue_wait_seconds",
    "From the sending of a message, or the time that it asks for, to the beginning of its task.",
    ["queue"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
    registry=registry,
)
SCORING_WAIT_SECONDS = Histogram(
    "champipy_scoring_wait_seconds",
    "From the request for a prediction, with fetching, to the beginning of scoring its photo.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600),
    registry=registry,
)
ENGINE_SECONDS = Histogram(
    "champipy_engine_seconds",
    "How long the LiteRT engine took to score a photo.",
    buckets=(0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1),
    registry=registry,
)
FILE_STORE_SECONDS = Histogram(
    "champipy_file_store_seconds",
    "How long the object store took for a request, with its repetitions, by how that ended: "
    "success, missing (there is no such object), failure.",
    ["operation", "outcome"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
    registry=registry,
)
FETCH_SECONDS = Histogram(
    "champipy_fetch_seconds",
    "How long it took to fetch, or to fail to fetch, a photo from its URL.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=registry,
)
