"""What happens around every task: request ids, metrics, traces, database connections.

`champipy_site/celery.py` imports this module, so that every process that sends or runs tasks does.
Django is set up when these functions are called, not when they are defined.
"""

import logging
import time
from datetime import datetime
from typing import Any

from celery.exceptions import TimeLimitExceeded, WorkerLostError
from celery.signals import (
    before_task_publish,
    task_failure,
    task_postrun,
    task_prerun,
    task_revoked,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
)

logger = logging.getLogger("champipy_site.tasks")


@before_task_publish.connect
def mark_message(headers: dict[str, Any], **kwargs: Any) -> None:
    """Say in a message when it was sent."""
    headers["sent_at"] = time.time()


@task_prerun.connect
def task_begins(task: Any, **kwargs: Any) -> None:
    """Have what the task logs name the request that sent it; measure how long it waited."""
    from common.metrics import QUEUE_WAIT_SECONDS
    from common.request_id import request_id
    from common.tracing import is_tracing, span

    request = task.request
    request_id.set(getattr(request, "request_id", None) or "")
    if (sent_at := getattr(request, "sent_at", None)) is not None:
        due_at = datetime.fromisoformat(request.eta).timestamp() if request.eta else sent_at
        queue = (request.delivery_info or {}).get("routing_key") or "none"
        # Clocks of two machines differ by a little.
        QUEUE_WAIT_SECONDS.labels(queue).observe(max(0.0, time.time() - max(sent_at, due_at)))
    if is_tracing():
        request.span = span(
            task.name,
            trace_parent=getattr(request, "trace_parent", None) or "",
            kind="consumer",
            champipy_request=request_id.get(),
        )
        request.current_span = request.span.__enter__()
    request.began = time.perf_counter()


@task_postrun.connect
def task_ends(task: Any, state: str | None = None, **kwargs: Any) -> None:
    """Measure the task, trace it, and log it where logs are JSON. Later lines name no request."""
    from common.metrics import TASK_SECONDS, TASKS
    from common.request_id import request_id

    outcome = (state or "none").lower()
    took = time.perf_counter() - task.request.began
    TASKS.labels(task.name, outcome).inc()
    TASK_SECONDS.labels(task.name).observe(took)
    if logger.isEnabledFor(logging.INFO):
        fields = {"task": task.name, "outcome": outcome, "duration_ms": round(took * 1000, 1)}
        logger.info("%s ended: %s", task.name, outcome, extra={"fields": fields})
    if hasattr(task.request, "current_span"):
        task.request.current_span.set_attribute("champipy.outcome", outcome)
        task.request.span.__exit__(None, None, None)
    request_id.set("")


@task_failure.connect
def task_was_killed(sender: Any, exception: BaseException, **kwargs: Any) -> None:
    """Count a task whose process was killed, by a time limit or from outside.

    The worker's first process notices it; no other handler hears of such a task.
    """
    from common.metrics import TASKS

    if isinstance(exception, TimeLimitExceeded | WorkerLostError):
        TASKS.labels(sender.name, "killed").inc()


@task_revoked.connect
def task_expired(request: Any, expired: bool = False, **kwargs: Any) -> None:
    """Count a task whose message came too late, and was dropped."""
    from common.metrics import TASKS

    TASKS.labels(request.task, "expired" if expired else "revoked").inc()


@worker_init.connect
def name_worker(sender: Any, **kwargs: Any) -> None:
    """Have the traces of this worker carry its name."""
    from common.tracing import name_process

    name_process(str(sender.hostname).partition("@")[0])


@worker_init.connect
@worker_process_init.connect
def publish_metrics(**kwargs: Any) -> None:
    """Publish what this process measures, from its beginning to its end."""
    from common.metric_totals import start_publishing

    start_publishing()


@worker_shutdown.connect
@worker_process_shutdown.connect
def publish_the_last(**kwargs: Any) -> None:
    """Publish what this process has measured since the last time, and send its last spans."""
    from common.metric_totals import publish
    from common.tracing import stop_tracing

    publish()
    stop_tracing()


@task_prerun.connect
@task_postrun.connect
def close_old_database_connections(**kwargs: Any) -> None:
    """Close database connections that are dead or older than CONN_MAX_AGE.

    The next query opens a new one.
    """
    from django.db import close_old_connections

    close_old_connections()
