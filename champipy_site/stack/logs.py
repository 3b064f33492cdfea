"""Log files: the supervisor's messages, rotation, and `./champipy logs`."""

import ctypes
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TextIO

from champipy_site.stack.state import Home, StackError

MAX_BYTES = 10_000_000  # for one log file; its rotated copy has at most as many again
SHOWN_LINES = 40
FALLOC_FL_COLLAPSE_RANGE = 8  # <linux/falloc.h>

libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Report:
    """Writes messages to a terminal, as long as it is open, and to `stack.log` with the time.

    While the disk is full, messages for `stack.log` wait in memory.
    """

    def __init__(self, home: Home, stream: TextIO) -> None:
        self._log = home.log("stack")
        self._stream: TextIO | None = stream
        self._waiting: deque[str] = deque(maxlen=1000)

    def say(self, text: str) -> None:
        """Write a message to the terminal and to `stack.log`."""
        self.show(text)
        self._waiting.append(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        with suppress(OSError):
            with self._log.open("a") as log:
                log.writelines(self._waiting)
            self._waiting.clear()

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
    """Move the content of each log that is larger than `max_bytes` to `NAME.log.1`.

    The log is not renamed, because its process keeps the file open. The process appends, so it
    continues at the new end. A log that cannot be copied, because the disk is full, stays as it is
    until the next call.
    """
    for log in folder.glob("*.log"):
        with suppress(OSError):
            if log.stat().st_size > max_bytes:
                _rotate(log)


def _rotate(log: Path) -> None:
    """Copy the content of a log to `NAME.log.1`, and remove what was copied from the log."""
    copy = log.with_name(f"{log.name}.1.new")
    try:
        with log.open("r+b") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            if not _remove_copied_blocks(source, target):
                # Lines written between these two calls would be lost.
                shutil.copyfileobj(source, target, length=-1)
                source.truncate(0)
        copy.replace(log.with_name(f"{log.name}.1"))
    finally:
        copy.unlink(missing_ok=True)


def _remove_copied_blocks(source: BinaryIO, target: BinaryIO) -> bool:
    """Remove the whole blocks of `source` that `target` has; return False if that is impossible.

    The kernel does it atomically (ext4 and XFS can), so a line that is written at this moment is
    not lost. The rest of the last block stays in `source` and is taken out of `target`.
    """
    block = os.fstatvfs(source.fileno()).f_bsize
    copied = (target.tell() - 1) // block * block  # one byte must remain
    if libc is None or copied <= 0:
        return False
    offset, length = ctypes.c_int64(0), ctypes.c_int64(copied)
    if libc.fallocate(source.fileno(), FALLOC_FL_COLLAPSE_RANGE, offset, length) != 0:
        return False
    target.truncate(copied)
    return True


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
