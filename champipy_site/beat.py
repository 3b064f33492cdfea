"""Beat, one at a time: whoever holds an advisory lock of PostgreSQL sends, others stand by."""

import contextlib
import logging
from typing import Any

from celery.beat import SchedulingError
from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

logger = logging.getLogger(__name__)

LOCK = 0x6368616D_70695079  # "champiPy"; advisory locks are the database's own, so any number does
STANDBY_SECONDS = 5.0


class AdvisoryLock:
    """A lock that lasts as long as a connection of its own, so it cannot be left behind.

    Not for use through a pooler that shares connections between transactions.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        # A copy is not among Django's connections: nobody closes it after a request or a task.
        self._connection = connection.copy("default")
        self._connection.settings_dict["CONN_MAX_AGE"] = None
        self._is_held = False

    def acquire(self) -> bool:
        """Tell whether the lock is ours now, trying for it once; a lost connection loses it."""
        try:
            with self._connection.cursor() as cursor:
                if self._is_held:
                    cursor.execute("SELECT 1")
                else:
                    cursor.execute("SELECT pg_try_advisory_lock(%s)", [self._number])
                    self._is_held = cursor.fetchone()[0]
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The connection that holds beat's lock is lost: %s", error)
            self._is_held = False
            self._connection.close()
        return self._is_held

    def release(self) -> None:
        """Give the lock up, and its connection: closing alone lets go of it only a moment later."""
        if self._is_held:
            self._is_held = False
            with (
                contextlib.suppress(DatabaseError, InterfaceError),
                self._connection.cursor() as cursor,
            ):
                cursor.execute("SELECT pg_advisory_unlock(%s)", [self._number])
        self._connection.close()


class SingleScheduler(DatabaseScheduler):
    """The database's schedule, sent only while this process holds the lock, and nothing twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock = AdvisoryLock(LOCK)
        self._is_active = False

    def setup_schedule(self) -> None:
        """Add the entries of CELERY_BEAT_SCHEDULE that the database lacks, and change no others.

        What an administrator set in the admin stays as it is. An entry whose task is gone from the
        code is switched off: no worker would know what to do with it.
        """
        self.app.loader.import_default_modules()  # else there would seem to be no tasks
        for row in PeriodicTask.objects.filter(enabled=True).exclude(task__in=list(self.app.tasks)):
            logger.warning("%s is switched off: there is no task %s any more.", row.name, row.task)
            row.enabled = False
            row.save()
        known = set(PeriodicTask.objects.values_list("name", flat=True))
        ours = self.app.conf.beat_schedule
        self.update_from_dict({name: entry for name, entry in ours.items() if name not in known})

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due if the lock is ours; return the seconds until the next look."""
        was_active, self._is_active = self._is_active, self._lock.acquire()
        if not self._is_active:
            if was_active:
                logger.warning("beat stands by: another one may be sending.")
            return STANDBY_SECONDS
        if not was_active:
            logger.info("beat holds the lock and sends what is due.")
            # When each task ran last may be news from the beat before us.
            self._read_again()
        try:
            return float(super().tick(*args, **kwargs))
        except (DatabaseError, InterfaceError, SchedulingError) as error:
            logger.warning("Something that is due waits %s s: %s", STANDBY_SECONDS, error)
            self._read_again()
            return STANDBY_SECONDS

    def _read_again(self) -> None:
        close_old_connections()
        self._initial_read = True
        self._heap = None

    def apply_entry(self, entry: ModelEntry, producer: Any = None) -> None:
        """Write down that an entry was sent, then send it; what cannot be sent stays due.

        In this order, so that a beat that is killed in between sends it a period later, not twice.
        Celery's own would write it minutes later, and forget an entry that the broker did not take.
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
        """Give the lock up at the end, so that another beat can go on at once."""
        super().close()
        self._lock.release()
