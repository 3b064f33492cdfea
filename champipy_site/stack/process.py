"""One process: how it is described, started, watched, restarted and stopped."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from champipy_site.stack.state import Home, ProcessState, StackState, process_created

HEALTHY_AFTER = 60.0  # seconds of running after which a process counts as healthy again
MAX_PAUSE = 30.0
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
MARK = "CHAMPIPY_PROCESS"  # in the environment of every process of a stack: its name

libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Service:
    """What to run, how to see that it answers, and how to stop it."""

    name: str
    command: list[str]
    environment: dict[str, str]
    folder: Path
    answers: Callable[[], bool]
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    # Sent by the kernel when the supervisor is gone, and by the second Ctrl-C.
    quick_signal: signal.Signals = signal.SIGQUIT
    quick_seconds: float = 1.0  # from the quick signal to SIGKILL
    nice: int = 0


class Backoff:
    """The pause before a restart: 1 s, doubling to 30 s, back to 1 s after 60 s of health."""

    def __init__(self) -> None:
        self._pause = 0.0

    def next(self, *, ran: float) -> float:
        """Return the seconds to wait before restarting a process that ran that many seconds."""
        healthy = ran >= HEALTHY_AFTER or not self._pause
        self._pause = 1.0 if healthy else min(self._pause * 2, MAX_PAUSE)
        return self._pause


@dataclass
class Child:
    """A service and the process that runs it now, in a session of its own.

    Its own session keeps the terminal's Ctrl-C away, so that the supervisor decides the order of
    stopping, and makes its descendants findable when the process itself is already dead.
    """

    service: Service
    log: Path
    state: str = "waiting"  # waiting, starting, up, stopped
    restarts: int = 0
    started: float = 0.0
    restart_at: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)
    _process: subprocess.Popen[bytes] | None = None
    _created: float = 0.0

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start the process; it says nothing of whether it answers."""
        supervisor = os.getpid()

        def in_the_child() -> None:
            if self.service.nice:
                os.nice(self.service.nice)
            if libc:
                libc.prctl(PR_SET_PDEATHSIG, int(self.service.quick_signal))
                if os.getppid() != supervisor:  # it died before the line above
                    os._exit(1)

        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.service.command,
                env={**self.service.environment, MARK: self.service.name},
                cwd=self.service.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=in_the_child,  # noqa: PLW1509 (the supervisor has one thread)
            )
        self._created = process_created(self.pid) or 0.0
        self.started = time.monotonic()
        self.state = "starting"

    def exit_code(self) -> int | None:
        """Return how the process ended, None while it runs."""
        return self._process.poll() if self._process else 0

    def check(self) -> None:
        """Note that a starting process answers."""
        if self.state == "starting" and self.service.answers():
            self.state = "up"

    def schedule_restart(self) -> float:
        """Clear away what the dead process left, and return the pause before its restart."""
        kill_session(self.pid)
        now = time.monotonic()
        pause = self.backoff.next(ran=now - self.started)
        self.state, self.restart_at = "waiting", now + pause
        return pause

    def restart(self) -> None:
        """Start the process again."""
        self.restarts += 1
        self.start()

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to the process if it still runs."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signum)

    def end(self) -> None:
        """Kill whatever is left of the process and its descendants."""
        if self._process:
            descendants: list[psutil.Process] = []
            with contextlib.suppress(psutil.Error):
                descendants = psutil.Process(self.pid).children(recursive=True)
            self.send(signal.SIGKILL)
            self._process.wait()
            for descendant in descendants:  # PostgreSQL's have sessions of their own
                with contextlib.suppress(psutil.Error):
                    descendant.kill()
            kill_session(self.pid)
        self.state = "stopped"

    def as_state(self) -> ProcessState:
        """Return what `stack.json` keeps of it."""
        return ProcessState(self.state, self.pid, self._created, self.restarts)


def stop_children(children: list[Child], *, hurried: Callable[[], bool]) -> None:
    """Stop processes side by side: politely, quickly at their limit or when hurried, then dead."""
    running = [child for child in children if child.exit_code() is None]
    for child in running:
        child.send(child.service.stop_signal)
    began = time.monotonic()
    quick: dict[str, float] = {}
    while running := [child for child in running if child.exit_code() is None]:
        now = time.monotonic()
        for child in running:
            late = now - began > child.service.stop_seconds
            if child.service.name in quick:
                if now - quick[child.service.name] > child.service.quick_seconds:
                    child.end()
            elif late or hurried():
                quick[child.service.name] = now
                child.send(child.service.quick_signal)
        time.sleep(0.05)
    for child in children:
        child.end()


def kill_session(leader: int) -> None:
    """Kill every process of the session that the (dead) process `leader` had begun."""
    for pid in psutil.pids() if leader > 1 else []:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)


def kill_leftovers(home: Home, state: StackState) -> list[str]:
    """End the processes that a killed supervisor left, and return their names.

    They are known by their number and beginning in `stack.json`, or by the mark and the home in
    their environment. Call it only while holding the home's lock.
    """
    found: dict[int, str] = {
        kept.pid: name for name, kept in state.processes.items() if kept.is_alive()
    }
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            its = process.environ()
            if MARK in its and its.get("CHAMPIPY_HOME") == str(home.path):
                found[process.pid] = its[MARK]
    processes = []
    for pid, name in found.items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            # SIGINT is PostgreSQL's own fast shutdown; SIGTERM would wait for its clients.
            process.send_signal(signal.SIGINT if name == "postgresql" else signal.SIGTERM)
            processes.append(process)
    _, stubborn = psutil.wait_procs(processes, timeout=5)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=5)
    for pid in found:
        kill_session(pid)
    return sorted(set(found.values()))
