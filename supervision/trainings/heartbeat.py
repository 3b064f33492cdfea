"""Keeps a run alive while its process works on it, and ends the process when it may not go on."""

import logging
import os
import threading
import time
from types import TracebackType
from typing import Final

from django.db import DatabaseError, InterfaceError, connection

from mlmodels.models import TrainingRun
from mlmodels.run_services import RunLost, run_finish, run_heartbeat

logger = logging.getLogger(__name__)

BEAT_S: Final = 2.0
GRACE_S: Final = 3.0
"""How long the main thread may take to end by itself. With a beat before it, and the export to int8
that lets no other thread run for a second now and then, that stays under ten seconds."""
OVERTIME_MINUTES: Final = 15.0
"""Beyond a run's time budget: for fetching weights, export and evaluation. Then it hangs."""
EXIT_CODE: Final = 3


class RunHeartbeat:
    """A thread that writes the heartbeat of a run, and asks with each whether it is still ours.

    Once it is not, `is_over` is True and the main thread has GRACE_S to leave the `with` block. One
    that sits in a long call of TensorFlow does not hear it: then the whole process ends, at once.
    The same happens to a run that is far beyond its time, after it was marked as failed.
    """

    def __init__(self, run: TrainingRun, *, minutes: float) -> None:
        self._run = run
        self._limit_minutes = minutes + OVERTIME_MINUTES
        self._deadline = time.monotonic() + 60 * self._limit_minutes
        self._over = threading.Event()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="run watch", daemon=True)

    def is_over(self) -> bool:
        """Tell whether the run was cancelled or taken away: stop, and write nothing."""
        return self._over.is_set()

    def __enter__(self) -> "RunHeartbeat":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._left.set()
        self._thread.join(timeout=BEAT_S)

    def _watch(self) -> None:
        try:
            while not self._left.wait(BEAT_S):
                self._look()
                if self._over.is_set() and not self._left.wait(GRACE_S):
                    logger.warning("Run %s is over: its process ends now", self._run.pk)
                    os._exit(EXIT_CODE)
        finally:
            connection.close()

    def _look(self) -> None:
        try:
            if time.monotonic() > self._deadline:
                self._over.set()
                run_finish(
                    run=self._run,
                    error=f"It was not done after {self._limit_minutes:.0f} minutes, far beyond "
                    "its time budget, and was ended. Start it again; if that does not help, look "
                    "into the training worker's log.",
                )
            else:
                run_heartbeat(run=self._run)
        except RunLost:
            self._over.set()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The heartbeat of run %s was not written: %s", self._run.pk, error)
            connection.close()
