"""Writes a run's heartbeat while its process works on it; ends the process if the run is over."""

import logging
import os
import threading
import time
from types import TracebackType
from typing import Final

from django.db import DatabaseError, InterfaceError, connection

from common.messages import Message
from mlmodels.models import TrainingRun
from mlmodels.run_services import RunLost, run_finish, run_heartbeat

logger = logging.getLogger(__name__)

BEAT_S: Final = 2.0
GRACE_S: Final = 3.0
"""Time for the main thread to stop by itself. With one beat before it, and the int8 export, which
sometimes blocks all other threads for a second, a cancelled run ends within ten seconds."""
OVERTIME_MINUTES: Final = 15.0
"""Added to a run's budget for fetching weights, export and evaluation. A longer run is stuck."""
EXIT_CODE: Final = 3


class RunHeartbeat:
    """A thread that writes a run's heartbeat and checks each time that this process still holds it.

    If the run was cancelled or taken away, `is_over` returns True and the main thread has GRACE_S
    to leave the `with` block. A main thread in a long TensorFlow call does not notice; then the
    whole process exits at once. A run far beyond its time budget is marked as failed and ends the
    same way.
    """

    def __init__(self, run: TrainingRun, *, minutes: float) -> None:
        self._run = run
        self._limit_minutes = minutes + OVERTIME_MINUTES
        self._deadline = time.monotonic() + 60 * self._limit_minutes
        self._over = threading.Event()
        self._exited = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="run watch", daemon=True)

    def is_over(self) -> bool:
        """Return whether the run was cancelled or taken away: stop, and write nothing."""
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
        self._exited.set()
        self._thread.join(timeout=BEAT_S)

    def _watch(self) -> None:
        try:
            while not self._exited.wait(BEAT_S):
                self._beat()
                if self._over.is_set() and not self._exited.wait(GRACE_S):
                    logger.warning("Run %s is over: ending its process", self._run.pk)
                    os._exit(EXIT_CODE)
        finally:
            connection.close()

    def _beat(self) -> None:
        try:
            if time.monotonic() > self._deadline:
                self._over.set()
                run_finish(
                    run=self._run,
                    error=Message(
                        "It was stopped after %(minutes).0f minutes, far beyond its time budget. "
                        "Start it again; if that does not help, see the training worker's log.",
                        minutes=self._limit_minutes,
                    ),
                )
            else:
                run_heartbeat(run=self._run)
        except RunLost:
            self._over.set()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The heartbeat of run %s was not written: %s", self._run.pk, error)
            connection.close()
