"""Registers supervision's tasks a second time, under their former names.

After an upgrade, messages in the queues and schedules in the database still use the former names.
Delete this module once none of them can be left.
"""

from celery import Task, shared_task

from supervision.evaluations.tasks import evaluate_version
from supervision.monitoring.tasks import deliver_alert_messages, run_check, watch_service
from supervision.trainings.tasks import watch_runs, work_next_run

FORMER_NAMES: dict[str, Task] = {
    "supervision.evaluation_tasks.evaluate_version": evaluate_version,
    "supervision.monitoring_tasks.deliver_alert_messages": deliver_alert_messages,
    "supervision.monitoring_tasks.run_check": run_check,
    "supervision.monitoring_tasks.watch_service": watch_service,
    "supervision.tasks.watch_runs": watch_runs,
    "supervision.tasks.work_next_run": work_next_run,
}

for name, task in FORMER_NAMES.items():
    shared_task(name=name)(task.run)
