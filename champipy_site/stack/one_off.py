"""Runs manage.py or pytest against running or temporary servers."""

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

# These commands work without tables, and are needed when preparing the database fails.
ON_EMPTY_DATABASE = frozenset(
    ("check", "help", "makemigrations", "migrate", "showmigrations", "sqlmigrate", "test")
)
SERVERS = {"DATABASE_URL", "REDIS_URL"}
MAX_WAIT_FOR_UP = 120.0  # seconds
FORWARDED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def manage(home: Home, arguments: list[str]) -> int:
    """Run manage.py with the servers of the running stack or with temporary ones.

    Return its exit code. Servers named by DATABASE_URL and REDIS_URL take precedence. Raise
    StackError if the stack has been starting for too long, or if another command uses the home.
    """
    command = [*PYTHON, str(PROJECT / "manage.py"), *arguments]
    given = known_urls(home)
    if given.keys() >= SERVERS:
        os.execve(command[0], command, project_environment(home, given))  # noqa: S606
    try:
        with home.lock(), servers(home, given, name=arguments[0]) as urls:
            environment = project_environment(home, urls)
            if arguments[0] not in ON_EMPTY_DATABASE and database_is_empty(urls["DATABASE_URL"]):
                print("Preparing the database (only the first time) …", file=sys.stderr, flush=True)
                prepare = [*PYTHON, "-m", "champipy_site.stack.prepare"]
                code = run(prepare, environment, cwd=PROJECT, stdout=sys.stderr.fileno())
                if code != 0:
                    return code
            return run(command, environment)
    except LockedError as error:
        raise StackError(in_use_message(home, read_state(home))) from error


def known_urls(home: Home) -> dict[str, str]:
    """Return DATABASE_URL and REDIS_URL as far as servers run: those given, else the stack's.

    Wait for a stack that is starting; raise StackError if that takes too long.
    """
    given = given_urls()
    if not given.keys() >= SERVERS:
        deadline = time.monotonic() + MAX_WAIT_FOR_UP
        while (state := read_state(home)).is_supervised() and state.command == "up":
            if state.phase == "running":
                direct = {"DATABASE_DIRECT_URL": ""} if "DATABASE_URL" in given else {}
                return {**state.environment, **direct, **given}
            if time.monotonic() > deadline:
                raise StackError(
                    f"ChampiPy did not come up within {MAX_WAIT_FOR_UP:.0f} s. "
                    "See ./champipy status and ./champipy logs."
                )
            time.sleep(0.2)
    return given


def test(arguments: list[str]) -> int:
    """Run pytest with a temporary home and temporary servers; return its exit code.

    DATABASE_URL and REDIS_URL are ignored, because they may name servers in production. To test
    on other servers, set CHAMPIPY_TEST_DATABASE_URL (with CHAMPIPY_TEST_DATABASE_DIRECT_URL, where
    it names a pooler) and CHAMPIPY_TEST_REDIS_URL.
    """
    folder = Path(tempfile.mkdtemp(prefix="champipy test "))
    if os.geteuid() == 0:
        folder.chmod(0o711)  # PostgreSQL then runs as another user, who must be able to pass
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
    """Run the servers that `given` lacks while the block runs; yield the URLs of all servers.

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
        for signum in FORWARDED_SIGNALS:
            signal.signal(signum, signal.SIG_IGN)
        for child in reversed(children):
            stop_children([child], is_hurried=lambda: False)
        state.phase, state.processes = "down", {}
        write_state(home, state)


def run(
    command: list[str],
    environment: dict[str, str],
    *,
    cwd: Path | None = None,
    stdout: int | None = None,
) -> int:
    """Run a command in the foreground; return its exit code, or 128 + N if signal N ended it.

    A terminal sends Ctrl-C to the command as well, so it is forwarded only if there is no terminal.
    The other signals are always forwarded.
    """
    process = subprocess.Popen(command, env=environment, cwd=cwd, stdout=stdout)

    def forward(signum: int, _: object) -> None:
        if signum != signal.SIGINT or not sys.stdin.isatty():
            process.send_signal(signum)

    before = {signum: signal.signal(signum, forward) for signum in FORWARDED_SIGNALS}
    try:
        code = process.wait()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    return code if code >= 0 else 128 - code
