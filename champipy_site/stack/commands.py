"""The commands `up`, `down` and `status`."""

import os
import shlex
import signal
import subprocess
import sys
import time

from champipy_site.stack.environment import PROJECT, PYTHON
from champipy_site.stack.logs import Report
from champipy_site.stack.process import kill_leftovers
from champipy_site.stack.state import (
    Home,
    LockedError,
    StackError,
    StackState,
    process_created,
    read_state,
    write_state,
)
from champipy_site.stack.supervisor import Supervisor

NOT_UP = 3  # exit code of `status`, the same as that of `systemctl status`
SAMPLE = PROJECT / "docs" / "sample.jpg"  # a drawing: a first prediction needs no Internet
READY = "\0"  # last line from the detached supervisor to the command that started it
STOP_SECONDS = 120.0  # longer than all stop limits of the services together


def up(
    home: Home,
    *,
    host: str,
    port: int,
    accepts_published: bool,
    only: list[str],
    detach: bool,
    report_to: int | None,
) -> int:
    """Start everything unless it is already up; return the exit code.

    `only`: the processes to start beside those of other machines; empty: all. `report_to` is the
    file descriptor that `up --detach` passes to the supervisor that it starts.
    """
    if detach:
        return detached(home, host=host, port=port, accepts_published=accepts_published, only=only)
    stream = os.fdopen(report_to, "w") if report_to is not None else sys.stdout
    report = Report(home, stream)
    try:
        with home.lock():
            mode = "detached" if report_to is not None else "foreground"
            return Supervisor(
                home,
                report,
                host=host,
                port=port,
                accepts_published=accepts_published,
                only=only,
                on_up=lambda state: welcome(report, state, mode),
            ).run()
    except LockedError:
        state = read_state(home)
        if state.command != "up" or not state.is_supervised():
            report.say(in_use_message(home, state))
            return 1
        phase = "up" if state.phase == "running" else state.phase
        report.say(f"ChampiPy is already {phase} at {state.address} (see ./champipy status).")
        return 0


def in_use_message(home: Home, state: StackState) -> str:
    """Return a message that names the command which is using the servers of a home."""
    return (
        f"The servers in {home.path} are in use by './champipy {state.command}' "
        f"(pid {state.supervisor}). Wait until it ends, then run this command again."
    )


def welcome(report: Report, state: StackState, mode: str) -> None:
    """Print the addresses, how to stop, and shell commands for a first prediction."""
    address = state.address
    stop = "./champipy down" if mode == "detached" else "Ctrl-C, or ./champipy down elsewhere"
    without_web = ("", f"Stop with   {stop}", "")
    for line in (
        without_web
        if "web" not in state.processes
        else (
            "",
            f"ChampiPy    {address}",
            f"API         {address}/api/v1/docs",
            f"Admin       {address}/admin/",
            f"Stop with   {stop}",
            "",
            "For a first prediction, paste this into a terminal:",
            f"TOKEN=$(curl -s {address}/api/v1/token -H 'Content-Type: application/json' "
            """-d '{"username": "alice", "password": "wonderland"}' """
            """| sed 's/.*"token": *"\\([^"]*\\)".*/\\1/')""",
            f'curl -s {address}/api/v1/predictions -H "Authorization: Token $TOKEN" '
            f"-F {shlex.quote(f'file=@{SAMPLE}')} -F nb_preds=3",
            "",
        )
    ):
        report.show(line)
    if mode == "detached":
        report.show(READY)
        report.close()


def detached(home: Home, *, host: str, port: int, accepts_published: bool, only: list[str]) -> int:
    """Start the supervisor as a daemon and print its messages until it is ready or has failed.

    Return 0 or the exit code of the supervisor. Ctrl-C stops the supervisor.
    """
    read_end, write_end = os.pipe()
    command = [*PYTHON, "-m", "champipy_site.stack", "up"]
    command += ["--host", host, "--port", str(port), "--report-to", str(write_end)]
    if accepts_published:
        command.append("--accept-published-passwords")
    if only:
        command += ["--only", ",".join(only)]
    with home.log("stack").open("ab") as log:
        supervisor = subprocess.Popen(
            command,
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[write_end],
            start_new_session=True,
        )
    os.close(write_end)
    with os.fdopen(read_end) as lines:
        while True:
            try:
                for line in lines:
                    if line.rstrip("\n") == READY:
                        return 0
                    print(line, end="", flush=True)
                return supervisor.wait()
            except KeyboardInterrupt:
                supervisor.send_signal(signal.SIGTERM)


def down(home: Home) -> int:
    """Stop everything, including processes that a killed supervisor left; return 0."""
    state = read_state(home)
    if state.is_supervised() and state.command == "up":
        print(f"Stopping ChampiPy at {state.address} …", flush=True)
        began = time.monotonic()
        stop_supervisor(state)
        print(f"Stopped after {time.monotonic() - began:.1f} s.")
        return 0
    try:
        with home.lock():
            leftovers = kill_leftovers(home, state)
            state.phase, state.processes = "down", {}
            write_state(home, state)
    except LockedError as error:
        raise StackError(in_use_message(home, read_state(home))) from error
    if leftovers:
        print(f"Stopped the processes that a killed supervisor left: {', '.join(leftovers)}.")
    else:
        print("ChampiPy is not up; there is nothing to stop.")
    return 0


def stop_supervisor(state: StackState) -> None:
    """Send SIGTERM to the supervisor and wait until it ends; send another one to hurry it.

    The second SIGTERM follows after STOP_SECONDS or on Ctrl-C. Raise StackError if the supervisor
    belongs to another user.
    """
    deadline = time.monotonic() + STOP_SECONDS
    try:
        os.kill(state.supervisor, signal.SIGTERM)
        while state.is_supervised():
            if time.monotonic() > deadline:
                os.kill(state.supervisor, signal.SIGTERM)
                deadline += STOP_SECONDS
            try:
                time.sleep(0.05)
            except KeyboardInterrupt:
                deadline = 0.0
    except PermissionError as error:
        raise StackError(
            f"The stack (pid {state.supervisor}) belongs to another user. Stop it as that user."
        ) from error
    except ProcessLookupError:
        return


def status(home: Home) -> int:
    """Print the table of processes; return 0 when all are up, otherwise NOT_UP."""
    state = read_state(home)
    if not state.is_supervised():
        leftovers = [name for name, process in state.processes.items() if process.is_alive()]
        print(f"ChampiPy is not up (data and logs: {home.path}). To start it: ./champipy up")
        if leftovers:
            print(
                f"A killed supervisor left these processes: {', '.join(leftovers)}. "
                "To stop them: ./champipy down"
            )
        return NOT_UP
    if state.command != "up":
        print(f"ChampiPy is not up. {in_use_message(home, state)}")
        return NOT_UP
    phase = "up" if state.phase == "running" else state.phase
    print(f"ChampiPy is {phase}: {state.address} (pid {state.supervisor}; logs: {home.log_folder})")
    print(f"{'PROCESS':<12}{'STATE':<10}{'PID':>8}{'UPTIME':>12}{'RESTARTS':>10}")
    all_up = state.phase == "running"
    for name, process in state.processes.items():
        created = process_created(process.pid) if process.is_alive() else None
        is_up = process.state == "up" and created is not None
        all_up &= is_up
        shown = process.state if created is not None else "waiting"
        uptime = duration(time.time() - created) if created is not None else "-"
        pid = process.pid if created is not None else "-"
        print(f"{name:<12}{shown:<10}{pid:>8}{uptime:>12}{process.restarts:>10}")
    return 0 if all_up else NOT_UP


def duration(seconds: float) -> str:
    """Return a number of seconds as text: `42 s`, `3 min 5 s`, `2 h 4 min`, `3 d 1 h`."""
    total = max(0, int(seconds))
    for unit, size, smaller_unit, smaller_size in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if total >= size:
            return f"{total // size} {unit} {total % size // smaller_size} {smaller_unit}"
    return f"{total} s"
