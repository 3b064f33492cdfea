"""The whole stack, started for real."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from champipy_site.stack.environment import PROJECT
from champipy_site.stack.ports import choose_port
from champipy_site.stack.state import Home, read_state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAMES = ["postgresql", "valkey", "beat", "web", "fetch", "inference", "training"]


class Stack:
    """`./champipy` on a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "a home")
        self.port = choose_port()
        ours = ("DATABASE_URL", "REDIS_URL", "CHAMPIPY_HOME", "CHAMPIPY_PROCESS")
        self.environment = {name: os.environ[name] for name in os.environ if name not in ours}
        # Set and empty: no .env of the project leads this stack to a database in use.
        self.environment |= {"DATABASE_URL": "", "REDIS_URL": ""}
        self.environment |= {"CHAMPIPY_HOME": str(self.home.path), "PYTHONPATH": str(PROJECT)}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "champipy_site.stack", *arguments]
        return subprocess.run(
            command,
            check=False,
            env=self.environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=300,
        )

    def up(self) -> subprocess.CompletedProcess[str]:
        return self("up", "--detach", "--port", str(self.port))

    def processes(self) -> list[psutil.Process]:
        """All that runs for this home: by environment, by command line, by state."""
        known = {kept.pid for kept in read_state(self.home).processes.values() if kept.is_alive()}
        found = []
        for process in psutil.process_iter():
            try:
                is_ours = process.environ().get("CHAMPIPY_HOME") == str(self.home.path)
                names_it = any(str(self.home.path) in word for word in process.cmdline())
                is_dead = process.status() == psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
            if (is_ours or names_it or process.pid in known) and not is_dead:
                found.append(process)
        return found

    def status_code(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/status") as answer:
            return answer.status


@pytest.fixture
def stack() -> Iterator[Stack]:
    # Not tmp_path: its parents are closed to the user as whom root's PostgreSQL runs.
    folder = Path(tempfile.mkdtemp(prefix="champipy stack "))
    folder.chmod(0o711)
    stack = Stack(folder)
    yield stack
    stack("down")
    for process in stack.processes():
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def eventually(condition: Callable[[], bool], seconds: float = 90) -> bool:
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return holds


def test_up_restart_and_down(stack: Stack):
    started = stack.up()
    assert started.returncode == 0, started.stdout + started.stderr
    assert f"http://127.0.0.1:{stack.port}/api/v1/docs" in started.stdout
    assert stack.status_code() == 200

    status = stack("status")
    assert status.returncode == 0
    rows = [line.split() for line in status.stdout.splitlines()[2:]]
    assert [(row[0], row[1]) for row in rows] == [(name, "up") for name in NAMES]

    again = stack.up()
    assert again.returncode == 0
    assert f"already up at http://127.0.0.1:{stack.port}" in again.stdout

    told = stack(
        "shell",
        "--verbosity",
        "0",
        "-c",
        "from accounts.models import User\n"
        "print(sorted(User.objects.values_list('username', flat=True)))",
    )
    assert "['admin', 'alice', 'bob', 'clementine']" in told.stdout, told.stderr

    before = read_state(stack.home).processes["web"].pid
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: read_state(stack.home).processes["web"].restarts == 1)
    assert eventually(lambda: stack("status").returncode == 0)
    assert stack.status_code() == 200
    assert read_state(stack.home).processes["web"].pid != before

    stopped = stack("down")
    assert stopped.returncode == 0
    assert [process.cmdline() for process in stack.processes()] == []
    assert stack("status").returncode == 3
    assert "nothing to stop" in stack("down").stdout


def test_killed_supervisor_leaves_nothing_for_long(stack: Stack):
    assert stack.up().returncode == 0
    os.kill(read_state(stack.home).supervisor, signal.SIGKILL)
    if sys.platform == "linux":
        assert eventually(lambda: not stack.processes())
    else:
        assert stack("down").returncode == 0
        assert stack.processes() == []
    assert stack.up().returncode == 0
    assert stack.status_code() == 200


def test_command_without_a_stack_gets_servers_for_itself(stack: Stack):
    code = "from django.db import connection\nprint(connection.pg_version >= 160000)"
    done = stack("shell", "--verbosity", "0", "-c", code)
    assert (done.returncode, done.stdout.split()) == (0, ["True"]), done.stderr
    assert stack.processes() == []


def test_failing_start_shows_why_and_stops_everything(stack: Stack):
    stack.home.make()
    (stack.home.path / "static").write_text("a file where collectstatic needs a folder")
    started = stack.up()
    assert started.returncode == 1
    assert "prepare failed with exit code 1" in started.stdout
    assert "static" in started.stdout
    assert stack.processes() == []
