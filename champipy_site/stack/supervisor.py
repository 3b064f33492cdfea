"""The supervisor, which starts, watches, restarts and stops the processes of a stack."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable

from champipy_site.stack import logs
from champipy_site.stack.environment import PROJECT, PYTHON, project_environment
from champipy_site.stack.logs import Report
from champipy_site.stack.ports import is_free, is_loopback
from champipy_site.stack.process import Child, Service, kill_leftovers, stop_children
from champipy_site.stack.servers import (
    StartError,
    check_given,
    check_shared,
    given_urls,
    make_servers,
    wait_for,
)
from champipy_site.stack.services import PROCESSES, all_services, own_address
from champipy_site.stack.state import Home, StackError, StackState, read_state, write_state

ROTATE_EVERY = 5.0


class StopRequestedError(Exception):
    """A signal asked the supervisor to stop before everything was up."""


class Signals:
    """Counts the requests to stop (Ctrl-C, SIGTERM, closed terminal) and sleeps until a signal."""

    def __init__(self) -> None:
        self.stops = 0
        self._read_end, write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._stop)
        # Without a handler, SIGCHLD would not end the sleep.
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _stop(self, *_: object) -> None:
        self.stops += 1

    def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, or until the next signal."""
        select.select([self._read_end], [], [], seconds)
        while select.select([self._read_end], [], [], 0)[0]:
            os.read(self._read_end, 4096)


class Supervisor:
    """Runs all processes of one home. The caller must hold the lock of the home."""

    def __init__(
        self,
        home: Home,
        report: Report,
        *,
        host: str,
        port: int,
        accepts_published: bool,
        only: list[str],
        on_up: Callable[[StackState], None],
    ) -> None:
        self.home, self.report, self.host, self.port = home, report, host, port
        self.accepts_published = accepts_published
        self.names = only or list(PROCESSES)
        self.on_up = on_up
        self.signals = Signals()
        self.state = StackState()
        self.servers: list[Child] = []
        self.project_processes: list[Child] = []
        self._rotated = time.monotonic()
        self._is_saved = True

    def run(self) -> int:
        """Start everything, watch it until a request to stop, and stop it; return the exit code."""
        code = 0
        try:
            self._start()
            self.on_up(self.state)
            while not self.signals.stops:
                self._watch()
        except StopRequestedError:
            code = 130
        except StackError as error:
            self.report.say(str(error))
            code = 1
        finally:
            self._stop(failed=code == 1)
        return code

    # --- starting -------------------------------------------------------------------------------

    def _start(self) -> None:
        began = time.monotonic()
        previous = read_state(self.home)
        self.state.ports = previous.ports
        if leftovers := kill_leftovers(self.home, previous):
            self.report.say(
                f"Stopped processes left from an earlier start: {', '.join(leftovers)}."
            )
        if "web" in self.names and not is_free(self.host, self.port):
            raise StackError(
                f"Port {self.port} on {self.host} is taken by another program. "
                f"Choose another port: ./champipy up --port {self.port + 1}"
            )
        self.state.take_over(phase="starting", command="up")
        self.state.address = own_address(self.host, self.port)
        self._save()
        self.report.say(f"Starting ChampiPy. Its data and logs are in {self.home.path}")

        given = given_urls()
        if len(self.names) < len(PROCESSES):
            check_shared(given)
        check_given(given)
        self.servers, urls, ports = make_servers(self.home, self.state.ports, given)
        self.state.ports |= ports
        self.state.environment = urls
        os.environ.update(urls)  # node_answers() uses the project's Celery settings
        self._bring_up(self.servers)

        environment = project_environment(self.home, urls)
        self._prepare(environment)
        if "web" in self.names and not is_loopback(self.host):
            self._check_passwords(environment)
        services = all_services(environment, self.host, self.port)
        self.project_processes = [
            Child(service, self.home.log(service.name))
            for service in services
            if service.name in self.names
        ]
        self._bring_up(self.project_processes)

        self.state.phase = "running"
        self._save()
        self.report.say(f"Everything is up after {time.monotonic() - began:.1f} s.")

    def _bring_up(self, children: list[Child]) -> None:
        for child in children:
            child.start()
        self._save()
        wait_for(children, on_up=self._report_up, pause=self._pause)
        self._save()

    def _report_up(self, child: Child) -> None:
        seconds = time.monotonic() - child.started
        port = self.state.ports.get(child.service.name) if child in self.servers else None
        address = f"  127.0.0.1:{port}" if port else ""
        self.report.say(f"  {child.service.name:<11} up after {seconds:4.1f} s{address}")

    def _pause(self, seconds: float) -> None:
        if self.signals.stops:
            raise StopRequestedError
        self.signals.sleep(seconds)

    def _prepare(self, environment: dict[str, str]) -> None:
        """Run `prepare.py` and wait until it ends; raise StartError if it fails."""
        command = [*PYTHON, "-m", "champipy_site.stack.prepare"]
        service = Service("prepare", command, environment, PROJECT, answers=lambda: False)
        child = Child(service, self.home.log("prepare"))
        child.start()
        try:
            while (code := child.exit_code()) is None:
                self._pause(0.5)
            if code != 0:
                raise StartError(child, f"failed with exit code {code}")
        finally:
            child.end()
        seconds = time.monotonic() - child.started
        self.report.say(f"  database, static files, users and model ready after {seconds:.1f} s")

    def _check_passwords(self, environment: dict[str, str]) -> None:
        """Report logins with a published password; raise StackError unless that was accepted."""
        command = [*PYTHON, "-m", "champipy_site.stack.published_passwords"]
        done = subprocess.run(
            command, env=environment, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode != 0:
            raise StackError(
                "The passwords of the logins could not be checked. See ./champipy check."
            )
        if not done.stdout:
            return
        message = f"Others can reach {self.host}. {done.stdout.strip()}"
        if not self.accepts_published:
            raise StackError(
                f"{message} Then run this command again. To start nevertheless, add "
                "--accept-published-passwords."
            )
        self.report.say(f"WARNING: {message}")

    # --- watching -------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Check each process once, then sleep for a second or until the next signal."""
        changed = False
        for child in [*self.servers, *self.project_processes]:
            before = child.state, child.pid
            if child.state == "waiting":
                if time.monotonic() >= child.restart_at:
                    child.restart()
            elif (code := child.exit_code()) is not None:
                name, pid = child.service.name, child.pid
                pause = child.schedule_restart()
                how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                self.report.say(f"{name} (pid {pid}) ended: {how}. Restarting it in {pause:.0f} s.")
            elif child.state == "starting":
                child.check()
                if child.state == "up":
                    self.report.say(f"{child.service.name} (pid {child.pid}) is up again.")
            changed |= before != (child.state, child.pid)
        if changed or not self._is_saved:
            self._save()
        if time.monotonic() - self._rotated > ROTATE_EVERY:
            logs.rotate(self.home.log_folder)
            self._rotated = time.monotonic()
        if not self.signals.stops:
            self.signals.sleep(1.0)

    # --- stopping -------------------------------------------------------------------------------

    def _stop(self, *, failed: bool) -> None:
        """Stop beat, web, the workers, Valkey and PostgreSQL, in this order.

        Another Ctrl-C hurries it.
        """
        self.state.phase = "stopping"
        self._save()
        stops = self.signals.stops
        began = time.monotonic()
        groups = [*([child] for child in self.project_processes[:2]), self.project_processes[2:]]
        groups += [[child] for child in reversed(self.servers)]
        if any(groups):
            hint = "" if failed else " Press Ctrl-C again to stop without waiting for running work."
            self.report.say(f"Stopping {'what was started' if failed else 'ChampiPy'}.{hint}")
        for group in groups:
            stop_children(group, is_hurried=lambda: self.signals.stops > stops)
            self._save()
        self.state.phase = "down"
        self.state.environment = {}
        self._save()
        if any(groups):
            self.report.say(f"Everything stopped after {time.monotonic() - began:.1f} s.")

    def _save(self) -> None:
        """Write the state; if the disk is full, say so once and go on: `_watch` tries again."""
        children = [*self.servers, *self.project_processes]
        self.state.processes = {
            child.service.name: child.as_state() for child in children if child.state != "stopped"
        }
        try:
            write_state(self.home, self.state)
        except OSError as error:
            if self._is_saved:
                self.report.say(
                    f"The state of the processes cannot be written to {self.home.path}: "
                    f"{error.strerror}. Free some space. Meanwhile ChampiPy goes on, and "
                    "./champipy status may be out of date."
                )
            self._is_saved = False
        else:
            if not self._is_saved:
                self._is_saved = True
                self.report.say(f"The state of the processes is in {self.home.path} again.")
