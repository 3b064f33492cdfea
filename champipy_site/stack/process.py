"""Describing, starting, watching, restarting and stopping one process."""

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
from typing import BinaryIO

import psutil

from champipy_site.stack.state import Home, ProcessState, StackState, process_created

HEALTHY_AFTER = 60.0  # seconds of running after which a process counts as healthy again
MAX_PAUSE = 30.0  # seconds before a restart
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
MARK = "CHAMPIPY_PROCESS"  # environment variable with the name of the process in its stack

libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Service:
    """How to run a process, how to check that it answers, and how to stop it."""

    name: str
    command: list[str]
    environment: dict[str, str]
    folder: Path
    answers: Callable[[], bool]
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    # Sent by the kernel when the supervisor dies, and by the supervisor at the second Ctrl-C.
    quick_signal: signal.Signals = signal.SIGQUIT
    quick_seconds: float = 1.0  # from the quick signal to SIGKILL
    nice: int = 0


class Backoff:
    """The pause before a restart: 1 s, then doubled up to 30 s, reset after a run of 60 s."""

    def __init__(self) -> None:
        self._pause = 0.0

    def next(self, *, ran: float) -> float:
        """Return the seconds to wait before restarting a process that ran for `ran` seconds."""
        was_healthy = ran >= HEALTHY_AFTER or not self._pause
        self._pause = 1.0 if was_healthy else min(self._pause * 2, MAX_PAUSE)
        return self._pause


@dataclass
class Child:
    """A service and its current process, which has its own session.

    Ctrl-C in the terminal does not reach another session, so the supervisor decides in which order
    processes stop. Through the session, descendants are found after the process has died.
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
        """Start the process without waiting until it answers."""
        supervisor = os.getpid()

        def set_up_child() -> None:
            # A shell that starts ChampiPy in the background may have it ignore SIGINT and SIGQUIT,
            # which would be inherited: beat, which handles neither, would outlive its supervisor.
            for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(signum, signal.SIG_DFL)
            if self.service.nice:
                os.nice(self.service.nice)
            if libc:
                libc.prctl(PR_SET_PDEATHSIG, int(self.service.quick_signal))
                if os.getppid() != supervisor:  # it died before the call above
                    os._exit(1)

        with self._open_log() as log:
            self._process = subprocess.Popen(
                self.service.command,
                env={**self.service.environment, MARK: self.service.name},
                cwd=self.service.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=set_up_child,  # noqa: PLW1509 (the supervisor has one thread)
            )
        self._created = process_created(self.pid) or 0.0
        self.started = time.monotonic()
        self.state = "starting"

    def _open_log(self) -> BinaryIO:
        """Open the log for appending; if the disk is too full to make it, open the null device."""
        try:
            return self.log.open("ab")
        except OSError:
            return Path(os.devnull).open("ab")

    def exit_code(self) -> int | None:
        """Return the exit code (-N if signal N ended the process), or None while it runs."""
        return self._process.poll() if self._process else 0

    def check(self) -> None:
        """Set the state of a starting process to `up` if it answers."""
        if self.state == "starting" and self.service.answers():
            self.state = "up"

    def schedule_restart(self) -> float:
        """Kill what the dead process left; return the seconds until its restart."""
        kill_session(self.pid)
        now = time.monotonic()
        pause = self.backoff.next(ran=now - self.started)
        self.state, self.restart_at = "waiting", now + pause
        return pause

    def restart(self) -> None:
        """Start the process again; if the system refuses (no memory), try again after a pause."""
        try:
            self.start()
        except OSError:
            self.restart_at = time.monotonic() + self.backoff.next(ran=0)
        else:
            self.restarts += 1

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to the process if it is still running."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signum)

    def end(self) -> None:
        """Kill the process and its descendants if any of them still runs."""
        if self._process:
            descendants: list[psutil.Process] = []
            with contextlib.suppress(psutil.Error):
                descendants = psutil.Process(self.pid).children(recursive=True)
            self.send(signal.SIGKILL)
            self._process.wait()
            for descendant in descendants:  # those of PostgreSQL have their own sessions
                with contextlib.suppress(psutil.Error):
                    descendant.kill()
            kill_session(self.pid)
        self.state = "stopped"

    def as_state(self) -> ProcessState:
        """Return the entry for `stack.json`."""
        return ProcessState(self.state, self.pid, self._created, self.restarts)


def stop_children(children: list[Child], *, is_hurried: Callable[[], bool]) -> None:
    """Stop processes in parallel.

    Send each its stop signal; after its `stop_seconds` or when hurried, its quick signal; after
    another `quick_seconds`, SIGKILL.
    """
    running = [child for child in children if child.exit_code() is None]
    for child in running:
        child.send(child.service.stop_signal)
    began = time.monotonic()
    quick: dict[str, float] = {}
    while running := [child for child in running if child.exit_code() is None]:
        now = time.monotonic()
        for child in running:
            is_late = now - began > child.service.stop_seconds
            if child.service.name in quick:
                if now - quick[child.service.name] > child.service.quick_seconds:
                    child.end()
            elif is_late or is_hurried():
                quick[child.service.name] = now
                child.send(child.service.quick_signal)
        time.sleep(0.05)
    for child in children:
        child.end()


def kill_session(leader: int) -> None:
    """Kill every process in the session that the (dead) process `leader` started."""
    for pid in psutil.pids() if leader > 1 else []:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)


def kill_leftovers(home: Home, state: StackState) -> list[str]:
    """Stop the processes that a killed supervisor left, and return their names, sorted.

    They are found by pid and start time in `stack.json`, or by MARK and CHAMPIPY_HOME in their
    environment. The caller must hold the lock of the home.
    """
    found: dict[int, str] = {
        process.pid: name for name, process in state.processes.items() if process.is_alive()
    }
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            if MARK in environment and environment.get("CHAMPIPY_HOME") == str(home.path):
                found[process.pid] = environment[MARK]
    processes = []
    for pid, name in found.items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for its clients.
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
