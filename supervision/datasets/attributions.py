"""Reads whose the imported photos are, and under which licence, from a table."""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from predictions.licences import Attribution, licence_url
from predictions.models import MAX_ATTRIBUTION

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_WEB_ADDRESS = re.compile(r"https?://[^\s\"'<>\\]+", re.IGNORECASE)


class TableError(Exception):
    """The table can't be used; the message says why, and where."""


@dataclass(frozen=True)
class Attributions:
    """The rows of a table by the paths of their files."""

    by_path: dict[str, Attribution]
    unknown_licences: Counter[str] = field(default_factory=Counter)
    """How many rows have each licence that `licence_url` does not know."""

    def of(self, path: Path, folder: Path) -> Attribution | None:
        """Return the row of a file that is imported from `folder`, or None if there is none.

        The table names the file from that folder on, or from the folder above it.
        """
        name = path.relative_to(folder).as_posix()
        return self.by_path.get(name) or self.by_path.get(f"{folder.resolve().name}/{name}")

    def rows_without_file(self, paths: Iterable[Path], folder: Path) -> list[str]:
        """Return the paths of the rows that name none of the files imported from `folder`."""
        names = {path.relative_to(folder).as_posix() for path in paths}
        names |= {f"{folder.resolve().name}/{name}" for name in names}
        return [name for name in self.by_path if name not in names]


def read_attributions(table: Path) -> Attributions:
    """Return the rows of a CSV file in UTF-8 with the columns path, author and licence.

    A column `source` may hold the addresses of pages that show the photos. A licence that
    `licence_url` does not know counts as none. Raises TableError.
    """
    found: dict[str, Attribution] = {}
    unknown: Counter[str] = Counter()
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if missing := {"path", "author", "licence"} - set(rows.fieldnames or ()):
                raise TableError(
                    f"{table} lacks the columns {', '.join(sorted(missing))}; its first line has "
                    "to name path, author, licence and, if you like, source."
                )
            for row in rows:
                path, attribution = _read(row, f"{table}, line {rows.line_num}")
                if not attribution.licence:
                    unknown[" ".join((row["licence"] or "").split())] += 1
                if path in found:
                    raise TableError(f"{table}, line {rows.line_num}: {path} stands there twice.")
                found[path] = attribution
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{table} can't be read as CSV in UTF-8: {error}") from error
    return Attributions(found, unknown)


def _read(row: dict[str, str | None], where: str) -> tuple[str, Attribution]:
    path, author, licence, source = (
        (row.get(name) or "").strip() for name in ("path", "author", "licence", "source")
    )
    if not path:
        raise TableError(f"{where} names no file.")
    for name, value in (("author", author), ("source", source)):
        if len(value) > MAX_ATTRIBUTION or _CONTROL.search(value):
            raise TableError(
                f"{where}: the {name} has over {MAX_ATTRIBUTION} characters, or control characters."
            )
    if source and not _WEB_ADDRESS.fullmatch(source):
        raise TableError(f"{where}: the source {source!r} is no http or https address.")
    return path, Attribution(author=author, licence=licence_url(licence), source=source)
