"""Runs `./champipy` with a temporary home."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from champipy_site.stack.environment import PROJECT
from champipy_site.stack.ports import choose_port
from champipy_site.stack.state import Home, read_state
from tests.support.mushroom_observer import MushroomObserver


class Stack:
    """Runs `./champipy` commands with one home and one port."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.home = Home(folder / "a home")
        self.welcome = ""
        self.port = choose_port()
        urls = ("DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL")
        excluded = (*urls, "CHAMPIPY_HOME", "CHAMPIPY_PROCESS")
        self.environment = {name: os.environ[name] for name in os.environ if name not in excluded}
        # Set but empty, so that the project's .env cannot connect this stack to a database in use.
        self.environment |= dict.fromkeys(urls, "")
        self.environment |= {"CHAMPIPY_HOME": str(self.home.path), "PYTHONPATH": str(PROJECT)}
        self.environment |= settings

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

    @property
    def url(self) -> str:
        """The address of the web process, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> subprocess.CompletedProcess[str]:
        """Start the stack in the background."""
        return self("up", "--detach", "--port", str(self.port))

    def processes(self) -> list[psutil.Process]:
        """Return the processes of this home, found by environment, command line or `stack.json`."""
        states = read_state(self.home).processes.values()
        known = {state.pid for state in states if state.is_alive()}
        found = []
        for process in psutil.process_iter():
            try:
                has_home = process.environ().get("CHAMPIPY_HOME") == str(self.home.path)
                names_home = any(str(self.home.path) in word for word in process.cmdline())
                is_dead = process.status() == psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
            if (has_home or names_home or process.pid in known) and not is_dead:
                found.append(process)
        return found

    def status_code(self) -> int:
        """Return the status code of `/api/v1/status`."""
        with urllib.request.urlopen(f"{self.url}/api/v1/status") as answer:
            return answer.status


def eventually(condition: Callable[[], bool], seconds: float = 90) -> bool:
    """Return True as soon as the condition holds, or False after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return holds


@contextmanager
def empty_stack(disk: Path | None = None, **settings: str) -> Iterator[Stack]:
    """Yield a stack without data in a temporary folder; stop it and delete the folder at the end.

    The folder is on `disk`, if given. `settings` are environment variables.
    """
    # Not tmp_path: if root runs the tests, PostgreSQL's user cannot enter the parents of tmp_path.
    folder = Path(tempfile.mkdtemp(prefix="champipy stack ", dir=disk))
    folder.chmod(0o711)
    stack = Stack(folder, **settings)
    yield stack
    stack("down")
    for process in stack.processes():
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)


PREPARED = ("models", "postgresql", "postgresql.password", "static")
"""What a first start makes in a home and another one can take over. Secrets are its own."""


@contextmanager
def prepared_stack(**settings: str) -> Iterator[Stack]:
    """Yield a stack as its first start leaves it, down: a start has nothing to prepare any more."""
    with empty_stack(**settings) as stack:
        stack.home.make()
        for name in PREPARED:
            # Unlike shutil, cp keeps the owner, who is another user where root runs the tests.
            source = _prepared_home().path / name
            subprocess.run(["cp", "-pR", source, stack.home.path], check=True)
        yield stack


@functools.cache
def _prepared_home() -> Home:
    """Prepare a home once, beside that of the tests, with which `./champipy test` deletes it."""
    stack = Stack(Path(os.environ["CHAMPIPY_HOME"]).parent / "prepared")
    stack.home.path.parent.mkdir()
    stack.home.path.parent.chmod(0o711)
    done = stack("shell", "--verbosity", "0", "-c", "")
    assert done.returncode == 0, done.stderr
    return stack.home


@contextmanager
def stack_asking(site: MushroomObserver) -> Iterator[Stack]:
    """Yield a stack that is up, and asks this replica of Mushroom Observer."""
    settings = {
        "CHAMPIPY_MUSHROOM_OBSERVER_URL": site.url,
        "CHAMPIPY_FETCH_ALLOW": site.address,
    }
    with prepared_stack(**settings) as stack:
        done = stack.up()
        assert done.returncode == 0, done.stdout + done.stderr
        yield stack
