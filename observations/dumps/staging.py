"""Copies dumps into temporary tables, which go when the outermost transaction ends.

PostgreSQL joins them on its disk, so that no process holds them in memory.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path

from django.db import OperationalError, connection
from psycopg2.errors import QueryCanceled
from psycopg2.extensions import set_wait_callback
from psycopg2.extras import wait_select

from mlmodels.names import InvalidName, parse_name
from observations.dumps.files import (
    Dump,
    OnBytes,
    Row,
    RowError,
    is_null,
    read_id,
    unescaped,
)
from observations.mushroom_observer.values import as_boolean, as_decimal, as_text
from predictions.licences import licence_url
from predictions.models import MAX_ATTRIBUTION

Progress = Callable[[str, int], AbstractContextManager[OnBytes]]
"""Shows that a file of so many bytes is read; gives what is told of each portion."""

_PORTION = 20_000
"""Rows that are copied at a time."""
_TABLES = """
DROP TABLE IF EXISTS dump_names, dump_descriptions, dump_observations, dump_links, dump_images,
    dump_ours, dump_found, dump_kept;
CREATE TEMPORARY TABLE dump_names (
    id bigint, text text, key text, is_species boolean, is_deprecated boolean,
    spelling_id bigint, synonym_id bigint
) ON COMMIT DROP;
CREATE TEMPORARY TABLE dump_descriptions (name_id bigint, look_alikes text) ON COMMIT DROP;
CREATE TEMPORARY TABLE dump_observations (id bigint, name_id bigint, confidence float8)
ON COMMIT DROP;
CREATE TEMPORARY TABLE dump_links (image_id bigint, observation_id bigint) ON COMMIT DROP;
CREATE TEMPORARY TABLE dump_images (id bigint, holder text, licence text, ok_for_export boolean)
ON COMMIT DROP;
"""
_INDEXES = """
CREATE INDEX ON dump_names (id);
CREATE INDEX ON dump_names (lower(text));
CREATE INDEX ON dump_names (key);
CREATE INDEX ON dump_names (synonym_id);
CREATE INDEX ON dump_names (spelling_id);
"""
_ANALYZE = """
ANALYZE dump_names; ANALYZE dump_observations; ANALYZE dump_links; ANALYZE dump_images;
"""

Read = Callable[[Row], tuple[object, ...] | None]


class Dumps:
    """The five files that are used. Raises DumpError if one is missing or lacks a column."""

    def __init__(self, folder: Path) -> None:
        self.names = Dump(
            folder,
            "names.csv",
            ("id", "text_name", "deprecated", "correct_spelling_id", "synonym_id"),
        )
        self.descriptions = Dump(folder, "name_descriptions.csv", ("name_id", "look_alikes"))
        self.observations = Dump(folder, "observations.csv", ("id", "name_id", "vote_cache"))
        self.links = Dump(folder, "images_observations.csv", ("image_id", "observation_id"))
        self.images = Dump(
            folder, "images.csv", ("id", "copyright_holder", "license", "ok_for_export")
        )

    @property
    def refused(self) -> list[str]:
        """Lines that tell which rows were left out."""
        lines = []
        for dump in (
            self.names, self.descriptions, self.observations, self.links, self.images
        ):  # fmt: skip
            lines += dump.refused
            if dump.refused_rows > len(dump.refused):
                more = dump.refused_rows - len(dump.refused)
                lines.append(f"{dump.path.name}: {more} more")
        return lines


def dumps_stage(dumps: Dumps, progress: Progress) -> None:
    """Copy the dumps into temporary tables. Call it in a transaction. Raises DumpError."""
    with connection.cursor() as cursor:
        # The default of 4 MB would have 2 million images sorted in many small files.
        cursor.execute("SET LOCAL statement_timeout = 0; SET LOCAL work_mem = '64MB'")
        cursor.execute(_TABLES)
    _copy(dumps.names, "dump_names", _name, progress)
    _copy(dumps.descriptions, "dump_descriptions", _description, progress)
    _copy(dumps.observations, "dump_observations", _observation, progress)
    _copy(dumps.links, "dump_links", _link, progress)
    _copy(dumps.images, "dump_images", _image, progress)
    with connection.cursor() as cursor:
        cursor.execute(_INDEXES)
        cursor.execute(_ANALYZE)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end a long query at once. Only for a process with one thread, and not for COPY."""
    set_wait_callback(wait_select)
    try:
        yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise KeyboardInterrupt from error
        raise
    finally:
        set_wait_callback(None)


def _copy(dump: Dump, table: str, read: Read, progress: Progress) -> None:
    with progress(dump.path.name, dump.bytes) as on_bytes, connection.cursor() as cursor:
        lines = _lines(dump, read, on_bytes)
        while portion := "".join(islice(lines, _PORTION)):
            cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO(portion))


def _lines(dump: Dump, read: Read, on_bytes: OnBytes) -> Iterator[str]:
    """Yield the rows as COPY reads them."""
    for row in dump.rows(on_bytes):
        try:
            values = read(row)
        except RowError as error:
            dump.refuse(dump.line, str(error))
            continue
        if values is not None:
            yield "\t".join(map(_copied, values)) + "\n"


def _copied(value: object) -> str:
    if value is None:
        return r"\N"
    if not isinstance(value, str):
        return str(value)
    text = value.replace("\\", "\\\\").replace("\t", "\\t")
    return text.replace("\n", "\\n").replace("\r", "\\r")


def _name(row: Row) -> tuple[object, ...]:
    number, text, deprecated, spelling_id, synonym_id = row
    text = " ".join(as_text(unescaped(text), 400).split())
    key = _key(text)
    return (
        read_id(number),
        text,
        key,
        key is not None and key == text.lower(),
        as_boolean(deprecated),
        None if is_null(spelling_id) else read_id(spelling_id),
        None if is_null(synonym_id) else read_id(synonym_id),
    )


def _key(text: str) -> str | None:
    """Return the species that a name names, in lower case, or None if it is not one."""
    try:
        return parse_name(text).species
    except InvalidName:
        return None


def _description(row: Row) -> tuple[object, ...] | None:
    name_id, look_alikes = row
    text = as_text(unescaped(look_alikes))
    return (read_id(name_id), text) if text and not is_null(name_id) else None


def _observation(row: Row) -> tuple[object, ...] | None:
    number, name_id, vote_cache = row
    if is_null(name_id):
        return None
    confidence = 0.0 if is_null(vote_cache) else as_decimal(vote_cache)
    if confidence is None or not -4 < confidence < 4:
        raise RowError(f"{vote_cache[:40]!r} is no confidence from -3 to 3")
    return read_id(number), read_id(name_id), confidence


def _link(row: Row) -> tuple[object, ...]:
    return read_id(row[0]), read_id(row[1])


def _image(row: Row) -> tuple[object, ...]:
    number, holder, licence, ok_for_export = row
    return (
        read_id(number),
        " ".join(as_text(unescaped(holder), MAX_ATTRIBUTION).split()),
        _licence_url(licence),
        as_boolean(ok_for_export),
    )


@lru_cache(maxsize=100)
def _licence_url(licence: str) -> str:
    return licence_url(as_text(unescaped(licence), MAX_ATTRIBUTION))
