r"""Reads dumps: text in UTF-8, a header line, then one row a line, its fields separated by tabs.

They are what MySQL's client writes: NULL for no value; tabs, line ends and backslashes within a
value are written as \t, \n and \\.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

MAX_LINE = 2_000_000
"""Bytes. The longest values are texts of descriptions."""
MAX_ID = 10**12
MIN_REFUSED = 10
MAX_REFUSED_SHARE = 0.001
"""More refused rows than both, and the file is no dump, or a damaged one."""
MAX_SHOWN = 5
_PORTION = 10_000
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_CHARACTERS = {"t": "\t", "n": "\n", "r": "\n", "0": "\0"}

Row = tuple[str, ...]
OnBytes = Callable[[int], object]


class DumpError(Exception):
    """A dump can't be used; the message says which one, why, and what to do."""


class RowError(ValueError):
    """A row can't be used; the message says why."""


class Dump:
    """One file of the dumps. `refused` tells, after reading, which rows were left out."""

    def __init__(self, folder: Path, name: str, columns: Sequence[str]) -> None:
        """Check the file; raise DumpError if it is missing, lacks a column, or was cut off."""
        self.path = folder / name
        self.columns = columns
        self.refused: list[str] = []
        self.refused_rows = 0
        self.line = 0  # of the row that was yielded last
        self._rows = 0
        try:
            with self.path.open("rb") as file:
                self._header(file)
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    raise DumpError(
                        f"{self.path} ends within a line: it is not complete. Download it again."
                    )
        except OSError as error:
            raise DumpError(
                f"{self.path} can't be read ({error.strerror}). The folder has to hold the dumps "
                "of Mushroom Observer under the names that they have there."
            ) from error

    @property
    def bytes(self) -> int:
        return self.path.stat().st_size

    def rows(self, on_bytes: OnBytes) -> Iterator[Row]:
        """Yield the values of the columns of each row, still escaped.

        Rows that can't be read are left out and told in `refused`. Raises DumpError if there are
        too many of them. `on_bytes` is told how many more bytes have been read.
        """
        with self.path.open("rb") as file:
            names = self._header(file)
            pick, width = itemgetter(*(names.index(each) for each in self.columns)), len(names)
            number, done = 1, 0
            while line := file.readline(MAX_LINE):
                number += 1
                self._rows += 1
                if not number % _PORTION:
                    on_bytes(file.tell() - done)
                    done = file.tell()
                try:
                    values = line.decode().rstrip("\r\n").split("\t")
                except UnicodeDecodeError:
                    self.refuse(number, "it is not text in UTF-8")
                    continue
                if not line.endswith(b"\n"):
                    self.refuse(number, f"it has over {MAX_LINE:,} bytes")
                    while line and not line.endswith(b"\n"):
                        line = file.readline(MAX_LINE)
                elif len(values) != width:
                    self.refuse(number, f"it has {len(values)} fields, not {width}")
                else:
                    self.line = number
                    yield pick(values)
            on_bytes(file.tell() - done)
        if self.refused_rows > max(MIN_REFUSED, MAX_REFUSED_SHARE * self._rows):
            raise DumpError(
                f"{self.path}: {self.refused_rows:,} of {self._rows:,} rows can't be read. "
                f"Download it again. The first: {self.refused[0]}."
            )

    def refuse(self, line: int, why: str) -> None:
        """Count a row that is left out."""
        self.refused_rows += 1
        if len(self.refused) < MAX_SHOWN:
            self.refused.append(f"{self.path.name}, line {line}: {why}")

    def _header(self, file: BinaryIO) -> list[str]:
        try:
            header = file.readline(MAX_LINE).decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DumpError(f"{self.path} is not text in UTF-8. Download it again.") from error
        names = header.split("\t")
        missing = [each for each in self.columns if names.count(each) != 1]
        if missing:
            hint = " Its columns have to be separated by tabs." if "," in header else ""
            raise DumpError(
                f"{self.path} lacks {', '.join(missing)} in its first line, or has it twice. Is it "
                f"{self.path.name} of Mushroom Observer?{hint}"
            )
        return names


def is_null(value: str) -> bool:
    """Return whether a value is none."""
    return value in ("NULL", "\\N", "")


def read_id(value: str) -> int:
    """Return an id. Raises RowError if the value is none."""
    if value.isascii() and value.isdecimal() and len(value) <= 13 and 0 < int(value) < MAX_ID:
        return int(value)
    raise RowError(f"{value[:40]!r} is no id")


def unescaped(value: str) -> str:
    """Return a value as the site has it; an empty text for none."""
    if is_null(value):
        return ""
    if "\\" not in value:
        return value
    return _ESCAPED.sub(lambda match: _CHARACTERS.get(match[1], match[1]), value)
