"""The home folder of an installation, its lock, and `stack.json`, the state of its processes."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from common.files import write_atomically

PRIVATE_FOLDERS = ("cache", "incoming", "log", "media", "models")


class StackError(Exception):
    """An error to show to the user; its message says what happened and what to do."""


class LockedError(StackError):
    """Another supervisor, or a command with temporary servers, holds the lock of the home."""


@dataclass(frozen=True)
class Home:
    """`CHAMPIPY_HOME`: where an installation keeps its data, logs, passwords and state."""

    path: Path

    @property
    def log_folder(self) -> Path:
        return self.path / "log"

    @property
    def state_file(self) -> Path:
        return self.path / "stack.json"

    @property
    def restoring(self) -> Path:
        """Return the file that exists while a restore has not finished."""
        return self.path / "restoring"

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.log_folder / f"{name}.log"

    def make(self) -> None:
        """Make the missing folders; raise StackError if that fails.

        If root makes the home, other users may enter it but not list it: PostgreSQL runs as another
        user. The folders in it are closed to others.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, exist_ok=True)
            for name in PRIVATE_FOLDERS:
                (self.path / name).mkdir(mode=0o700, exist_ok=True)
                if (self.path / name).stat().st_mode & 0o077:  # made by an earlier version
                    (self.path / name).chmod(0o700)
        except OSError as error:
            raise StackError(
                f"The folder for ChampiPy's data, {self.path}, cannot be made: {error.strerror}. "
                "Give this user the right to write there, or set CHAMPIPY_HOME to another folder."
            ) from error

    def password(self, name: str) -> str:
        """Return the password in `<name>.password`; make the file (mode 0600) at the first use."""
        path = self.path / f"{name}.password"
        if not path.exists():
            write_atomically(path, [secrets.token_urlsafe(32).encode()])
        return path.read_text().strip()

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock of this home; raise LockedError if another process holds it.

        The lock ends with the process, however that ends.
        """
        descriptor = os.open(self.path / "stack.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LockedError(
                    f"Another ./champipy command is using {self.path}. See ./champipy status."
                ) from error
            yield
        finally:
            os.close(descriptor)


def process_created(pid: int) -> float | None:
    """Return the start time of a process (Unix time), or None if it is dead or a zombie."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.create_time()
    except psutil.Error:
        return None


@dataclass
class ProcessState:
    """One process as `status` shows it; pid and start time together identify it."""

    state: str
    pid: int
    created: float
    restarts: int

    def is_alive(self) -> bool:
        """Return whether the process still runs; a later one with the same pid does not count."""
        created = process_created(self.pid)
        return created is not None and abs(created - self.created) < 0.1


@dataclass
class StackState:
    """The content of `stack.json` (mode 0600: `environment` has the servers' passwords)."""

    phase: str = "down"  # starting, running, stopping, down; or one-off for a single command
    command: str = ""
    supervisor: int = 0
    supervisor_created: float = 0.0
    address: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[str, ProcessState] = field(default_factory=dict)

    def is_supervised(self) -> bool:
        """Return whether the process that wrote this state still runs."""
        return ProcessState("", self.supervisor, self.supervisor_created, 0).is_alive()

    def take_over(self, *, phase: str, command: str) -> None:
        """Record the current process as the supervisor."""
        self.phase, self.command = phase, command
        self.supervisor = os.getpid()
        self.supervisor_created = process_created(os.getpid()) or 0.0


def read_state(home: Home) -> StackState:
    """Return the state in `stack.json`, or an empty one if the file is missing or damaged."""
    try:
        content = json.loads(home.state_file.read_text())
        processes = {
            name: ProcessState(**fields) for name, fields in content.pop("processes").items()
        }
        return StackState(**content, processes=processes)
    except FileNotFoundError:
        return StackState()
    except (ValueError, KeyError, TypeError, AttributeError):
        return StackState()


def write_state(home: Home, state: StackState) -> None:
    """Write `stack.json` atomically."""
    write_atomically(home.state_file, [json.dumps(asdict(state), indent=2).encode(), b"\n"])
