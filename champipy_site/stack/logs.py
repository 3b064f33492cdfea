"""Log files: what the supervisor says, keeping them small, and showing them."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from champipy_site.stack.state import Home, StackError

LARGEST = 10_000_000  # bytes; with its predecessor, a process keeps twice as much at most
SHOWN_LINES = 40


class Report:
    """Says a line to the person, while there is one, and with its time to `stack.log`."""

    def __init__(self, home: Home, stream: TextIO) -> None:
        self._log = home.log("stack")
        self._stream: TextIO | None = stream

    def say(self, text: str) -> None:
        """Say it to both."""
        self.show(text)
        with self._log.open("a") as log:
            print(time.strftime("%Y-%m-%d %H:%M:%S"), text, file=log)

    def show(self, text: str) -> None:
        """Say it to the person only; a terminal that was closed is no reason to stop."""
        if self._stream:
            try:
                print(text, file=self._stream, flush=True)
            except (OSError, ValueError):
                self._stream = None

    def close(self) -> None:
        """Say nothing more to the person."""
        if self._stream:
            with suppress(OSError, ValueError):
                self._stream.close()
        self._stream = None


def rotate(folder: Path, largest: int = LARGEST) -> None:
    """Copy each log that has grown too large to `….log.1` and empty it.

    Copied, not renamed: the processes keep their files open (for appending, so that they go on at
    the new end).
    """
    for log in folder.glob("*.log"):
        if log.stat().st_size > largest:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            with log.open("r+b") as file:
                file.truncate()


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines of a file, none if it is missing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - count * 400))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-count:]


def choose_logs(home: Home, name: str | None) -> list[Path]:
    """Return the log of one process, or all; an unknown name is a StackError."""
    logs = sorted(home.log_folder.glob("*.log"))
    if name is None:
        return logs
    if home.log(name) not in logs:
        known = ", ".join(log.stem for log in logs) or "none: the stack has not been started here"
        raise StackError(f"There is no log of {name!r} in {home.log_folder}. There are: {known}.")
    return [home.log(name)]


def show(home: Home, name: str | None, *, follow: bool) -> None:
    """Print the last lines of one log or of all, and go on with new ones if asked."""
    logs = choose_logs(home, name)
    prefixed = len(logs) > 1
    places = {log: log.stat().st_size for log in logs}
    for log in logs:
        for line in last_lines(log, SHOWN_LINES // 4 if prefixed else SHOWN_LINES):
            print_line(log, line, prefixed=prefixed)
    while follow:
        sys.stdout.flush()
        time.sleep(0.3)
        for log in choose_logs(home, name):
            for line in new_lines(log, places):
                print_line(log, line, prefixed=prefixed)


def print_line(log: Path, line: str, *, prefixed: bool) -> None:
    """Print a line, behind the name of its process where several are shown."""
    print(f"{log.stem:<10} | {line}" if prefixed else line)


def new_lines(log: Path, places: dict[Path, int]) -> Iterator[str]:
    """Yield the whole lines added since the last call; a file that shrank begins anew."""
    size = log.stat().st_size
    place = places.get(log, 0)
    if size < place:
        place = 0
    with log.open("rb") as file:
        file.seek(place)
        text = file.read(size - place)
    whole = text[: text.rfind(b"\n") + 1]
    places[log] = place + len(whole)
    for line in whole.splitlines():
        yield line.decode(errors="replace")
