"""Log files: the supervisor's messages, rotation, and `./champipy logs`."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from champipy_site.stack.state import Home, StackError

MAX_BYTES = 10_000_000  # for one log file; its rotated copy has at most as many again
SHOWN_LINES = 40


class Report:
    """Writes messages to a terminal, as long as it is open, and to `stack.log` with the time."""

    def __init__(self, home: Home, stream: TextIO) -> None:
        self._log = home.log("stack")
        self._stream: TextIO | None = stream

    def say(self, text: str) -> None:
        """Write a message to the terminal and to `stack.log`."""
        self.show(text)
        with self._log.open("a") as log:
            print(time.strftime("%Y-%m-%d %H:%M:%S"), text, file=log)

    def show(self, text: str) -> None:
        """Write a message to the terminal only; do nothing if it has been closed."""
        if self._stream:
            try:
                print(text, file=self._stream, flush=True)
            except (OSError, ValueError):
                self._stream = None

    def close(self) -> None:
        """Write nothing more to the terminal."""
        if self._stream:
            with suppress(OSError, ValueError):
                self._stream.close()
        self._stream = None


def rotate(folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Copy each log that is larger than `max_bytes` to `NAME.log.1` and empty it.

    The log is not renamed, because its process keeps the file open. The process appends, so it
    continues at the new end.
    """
    for log in folder.glob("*.log"):
        if log.stat().st_size > max_bytes:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            with log.open("r+b") as file:
                file.truncate()


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last `count` lines of a file, or an empty list if the file is missing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - count * 400))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-count:]


def choose_logs(home: Home, name: str | None) -> list[Path]:
    """Return the log of one process, or all logs; raise StackError for an unknown name."""
    logs = sorted(home.log_folder.glob("*.log"))
    if name is None:
        return logs
    if home.log(name) not in logs:
        known = ", ".join(log.stem for log in logs) or "none yet (./champipy up makes them)"
        raise StackError(f"There is no log of {name!r} in {home.log_folder}. Known logs: {known}.")
    return [home.log(name)]


def show(home: Home, name: str | None, *, follow: bool) -> None:
    """Print the last lines of one log or of all logs, then new lines if `follow` is set."""
    logs = choose_logs(home, name)
    prefixed = len(logs) > 1
    positions = {log: log.stat().st_size for log in logs}
    for log in logs:
        for line in last_lines(log, SHOWN_LINES // 4 if prefixed else SHOWN_LINES):
            print_line(log, line, prefixed=prefixed)
    while follow:
        sys.stdout.flush()
        time.sleep(0.3)
        for log in choose_logs(home, name):
            for line in new_lines(log, positions):
                print_line(log, line, prefixed=prefixed)


def print_line(log: Path, line: str, *, prefixed: bool) -> None:
    """Print a line, prefixed with the name of its process if several logs are shown."""
    print(f"{log.stem:<10} | {line}" if prefixed else line)


def new_lines(log: Path, positions: dict[Path, int]) -> Iterator[str]:
    """Yield the complete lines added since the last call, and update the position of the log.

    A file that has become shorter is read again from its beginning.
    """
    size = log.stat().st_size
    position = positions.get(log, 0)
    if size < position:
        position = 0
    with log.open("rb") as file:
        file.seek(position)
        text = file.read(size - position)
    complete = text[: text.rfind(b"\n") + 1]
    positions[log] = position + len(complete)
    for line in complete.splitlines():
        yield line.decode(errors="replace")
