"""Commands of Django and pytest, with servers: the running stack's, or some just for them."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from champipy_site.stack.commands import in_use_message
from champipy_site.stack.environment import PROJECT, PYTHON, project_environment
from champipy_site.stack.postgresql import database_is_empty
from champipy_site.stack.process import Child, kill_leftovers, stop_children
from champipy_site.stack.servers import given_urls, make_servers, wait_for
from champipy_site.stack.state import Home, LockedError, StackError, read_state, write_state

# These work on a database that has no tables yet, and are needed when preparing it fails.
ON_EMPTY_DATABASE = frozenset(
    ("check", "help", "makemigrations", "migrate", "showmigrations", "sqlmigrate", "test")
)
WAIT_FOR_UP = 120.0
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def manage(home: Home, arguments: list[str]) -> int:
    """Run manage.py with the servers of the stack; without one, with servers just for it."""
    command = [*PYTHON, str(PROJECT / "manage.py"), *arguments]
    given = given_urls()
    if len(given) < 2:
        deadline = time.monotonic() + WAIT_FOR_UP
        while (state := read_state(home)).is_supervised() and state.command == "up":
            if state.phase == "running":
                given = {**state.environment, **given}
                break
            if time.monotonic() > deadline:
                raise StackError("ChampiPy has been starting for too long: ./champipy status")
            time.sleep(0.2)
    if len(given) == 2:
        os.execve(command[0], command, project_environment(home, given))  # noqa: S606
    try:
        with home.lock(), servers(home, given, name=arguments[0]) as urls:
            environment = project_environment(home, urls)
            if arguments[0] not in ON_EMPTY_DATABASE and database_is_empty(urls["DATABASE_URL"]):
                print("Preparing the database: once only …", file=sys.stderr, flush=True)
                prepare = [*PYTHON, "-m", "champipy_site.stack.prepare"]
                code = run(prepare, environment, cwd=PROJECT, stdout=sys.stderr.fileno())
                if code != 0:
                    return code
            return run(command, environment)
    except LockedError as error:
        raise StackError(in_use_message(home, read_state(home))) from error


def test(arguments: list[str]) -> int:
    """Run pytest on servers and a home of its own, which are gone afterwards.

    DATABASE_URL and REDIS_URL, which may name a service in use, are not taken: only
    CHAMPIPY_TEST_DATABASE_URL and CHAMPIPY_TEST_REDIS_URL are.
    """
    folder = Path(tempfile.mkdtemp(prefix="champipy test "))
    if os.geteuid() == 0:
        folder.chmod(0o711)  # PostgreSQL, which is not root then, must get through
    home = Home(folder / "home")
    try:
        home.make()
        with home.lock(), servers(home, given_urls("CHAMPIPY_TEST_"), name="test") as urls:
            environment = project_environment(home, urls)
            return run([sys.executable, "-m", "pytest", *arguments], environment, cwd=PROJECT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def servers(home: Home, given: dict[str, str], *, name: str) -> Iterator[dict[str, str]]:
    """Run the servers that are not given while the block runs; yields all URLs.

    SIGTERM and a closed terminal end the block as Ctrl-C does, so that nothing is left running.
    """
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda received, _: sys.exit(128 + received))
    state = read_state(home)
    kill_leftovers(home, state)
    state.take_over(phase="one-off", command=name)
    write_state(home, state)
    children: list[Child] = []
    try:
        children, urls, ports = make_servers(home, state.ports, given)
        state.ports |= ports
        for child in children:
            child.start()
        state.processes = {child.service.name: child.as_state() for child in children}
        write_state(home, state)
        wait_for(children, on_up=lambda _: None)
        yield urls
    finally:
        for signum in PASSED_ON:
            signal.signal(signum, signal.SIG_IGN)
        for child in reversed(children):
            stop_children([child], hurried=lambda: False)
        state.phase, state.processes = "down", {}
        write_state(home, state)


def run(
    command: list[str],
    environment: dict[str, str],
    *,
    cwd: Path | None = None,
    stdout: int | None = None,
) -> int:
    """Run a command in the foreground and return its exit code.

    A terminal sends its Ctrl-C to both; the command decides what it means. Where there is no
    terminal, and for the other signals, the signal is passed on.
    """
    process = subprocess.Popen(command, env=environment, cwd=cwd, stdout=stdout)

    def pass_on(signum: int, _: object) -> None:
        if signum != signal.SIGINT or not sys.stdin.isatty():
            process.send_signal(signum)

    before = {signum: signal.signal(signum, pass_on) for signum in PASSED_ON}
    try:
        code = process.wait()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    return code if code >= 0 else 128 - code
