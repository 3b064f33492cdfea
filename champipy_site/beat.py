"""Celery beat with standby: only the process that holds a PostgreSQL advisory lock sends tasks."""

import logging
from typing import Any

from celery.beat import SchedulingError
from django.db import DatabaseError, InterfaceError, close_old_connections
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from common.sessions import SessionLock

logger = logging.getLogger(__name__)

# "champiPy" in ASCII. Any number will do: each database has its own advisory locks.
LOCK = 0x6368616D_70695079
STANDBY_SECONDS = 5.0


class SingleScheduler(DatabaseScheduler):
    """Sends the tasks of the database schedule only while this process holds the lock.

    No task is sent twice.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock = SessionLock(LOCK)
        self._is_active = False

    def setup_schedule(self) -> None:
        """Add the entries of CELERY_BEAT_SCHEDULE that the database lacks.

        What an administrator changed in the admin stays. An entry whose task is no longer in the
        code is switched off, as no worker could run it.
        """
        self.app.loader.import_default_modules()  # otherwise app.tasks would be empty
        for row in PeriodicTask.objects.filter(enabled=True).exclude(task__in=list(self.app.tasks)):
            logger.warning("%s was switched off: its task %s no longer exists.", row.name, row.task)
            row.enabled = False
            row.save()
        known = set(PeriodicTask.objects.values_list("name", flat=True))
        default = self.app.conf.beat_schedule
        self.update_from_dict({name: entry for name, entry in default.items() if name not in known})

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send the due tasks if this process holds the lock; return seconds until the next tick."""
        was_active, self._is_active = self._is_active, self._lock.acquire()
        if not self._is_active:
            if was_active:
                logger.warning(
                    "beat is on standby: it lost the lock, so another beat may be sending tasks."
                )
            return STANDBY_SECONDS
        if not was_active:
            logger.info("beat holds the lock and sends the due tasks.")
            # The previous beat may have sent tasks since this one read the schedule.
            self._read_again()
        try:
            return float(super().tick(*args, **kwargs))
        except (DatabaseError, InterfaceError, SchedulingError) as error:
            logger.warning(
                "A due task could not be sent. Next attempt in %s s: %s", STANDBY_SECONDS, error
            )
            self._read_again()
            return STANDBY_SECONDS

    def _read_again(self) -> None:
        close_old_connections()
        self._initial_read = True
        self._heap = None

    def apply_entry(self, entry: ModelEntry, producer: Any = None) -> None:
        """Record that an entry was sent, then send it; an entry that cannot be sent stays due.

        In this order, a beat that is killed in between sends the task one period later, not twice.
        Celery's method would record it minutes later and drop a task that the broker refused.
        """
        entry.save()
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError:
            entry.model.last_run_at = entry.last_run_at
            entry.model.total_run_count -= 1
            entry.save()
            raise

    def close(self) -> None:
        """Release the lock at the end, so that another beat can take over at once."""
        super().close()
        self._lock.release()
