"""The command `backup`: writes the database, the photos and the model versions into one file.

Where photos and versions are in an object store, the file has only the database: the store has
copies of its own.

The file is a tar: `database.dump` (pg_dump's custom format), `media/…`, `models/…`, and at its end
`manifest.json` with the SHA-256 of every other member. A file that was cut off has no manifest.
No key or password of the servers is in it; passwords of users and tokens are there as hashes.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import psycopg2
from tqdm import tqdm

from champipy_site.stack.commands import in_use_message
from champipy_site.stack.one_off import known_urls, servers
from champipy_site.stack.postgresql import (
    binaries,
    client_environment,
    connect,
    database_is_empty,
    server_version,
)
from champipy_site.stack.servers import check_given, session_url
from champipy_site.stack.state import Home, LockedError, StackError, read_state
from champipy_site.version import VERSION
from common.files import sync_folder

FORMAT = "champipy-backup-1"
MANIFEST = "manifest.json"
DUMP = "database.dump"
FOLDERS = ("media", "models")
# A stolen backup must log nobody in: sessions are stored as they are sent, tokens as hashes.
NOT_DUMPED = "django_session"


@dataclass(frozen=True)
class NamedFile:
    """A file that a row of the database names, relative to the home."""

    name: str
    sha256: str | None  # None: the row does not know it


class HashingFile:
    """Computes the SHA-256 of what is read from a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read as the file itself does."""
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def backup(home: Home, target: Path) -> int:
    """Write a backup of a home to a new file; return 0.

    The stack may be up or down. Raise StackError if that is impossible; then there is no file.
    """
    if target.exists():
        raise StackError(f"{target} exists already. Give another name, or delete it first.")
    if not target.parent.is_dir():
        raise StackError(f"There is no folder {target.parent}. Make it, or give another one.")
    end_with_cleaning_up()
    urls = known_urls(home)
    if "DATABASE_URL" in urls:
        url = session_url(urls)
        check_given({"DATABASE_URL": url})
        _write(home, url, target)
        return 0
    try:
        with home.lock(), servers(home, urls, name="backup") as running:
            _write(home, session_url(running), target)
    except LockedError as error:
        raise StackError(in_use_message(home, read_state(home))) from error
    return 0


def end_with_cleaning_up() -> None:
    """Let SIGTERM and a closed terminal end this process as an exception, as Ctrl-C does."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda received, _: sys.exit(128 + received))


def _write(home: Home, url: str, target: Path) -> None:
    version = dumpable_version(server_version(url))
    in_store = bool(os.environ.get("CHAMPIPY_STORAGE_URL"))
    if database_is_empty(url):
        raise StackError("There is nothing to back up: the database is empty.")
    with _new_file(target) as (file, dump):
        print("Dumping the database …", file=sys.stderr, flush=True)
        with _snapshot(url) as (snapshot, cursor):
            _dump(url, snapshot, dump)
            named = [] if in_store else [*_photos(cursor), *_version_files(cursor, home)]
        hashes: dict[str, str] = {}
        damaged: list[str] = []
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            hashes[DUMP] = _add(tar, DUMP, dump)
            for each in tqdm(named, desc="Copying", unit="file", file=sys.stderr, disable=None):
                with contextlib.suppress(FileNotFoundError):
                    hashes[each.name] = _add(tar, each.name, home.path / each.name)
                if hashes.get(each.name) is None or each.sha256 not in (None, hashes[each.name]):
                    damaged.append(each.name)
            manifest = {
                "format": FORMAT,
                "champipy": VERSION,
                "postgresql": version,
                "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "files_in_object_store": in_store,
                "files": hashes,
            }
            content = json.dumps(manifest, indent=1).encode()
            member = _member(MANIFEST, len(content))
            tar.addfile(member, BytesIO(content))
    if damaged:
        print(
            f"{len(damaged)} files are missing or damaged in {home.path}; the backup has them as "
            f"they are: {', '.join(damaged[:5])}{' …' if len(damaged) > 5 else ''}.",
            file=sys.stderr,
        )
    if in_store:
        print(
            "Photos and versions are in the object store, and not in this backup: keep versions of "
            "the bucket's objects, or a copy of the bucket.",
            file=sys.stderr,
        )
    size = target.stat().st_size / 1e6
    print(f"{target}: the database and {len(hashes) - 1} files, {size:.1f} MB.")


@contextlib.contextmanager
def _new_file(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Yield a file that becomes `target` if the block succeeds, and a path for the dump.

    Only their owner can read them.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        partial = Path(folder) / "backup"
        with partial.open("xb") as file:
            partial.chmod(0o600)
            yield file, Path(folder) / "dump"
            file.flush()
            os.fsync(file.fileno())
        try:
            target.hardlink_to(partial)  # refuses to replace a file that was made meanwhile
        except FileExistsError as error:
            raise StackError(f"{target} was made by another command meanwhile.") from error
        except OSError:  # a file system without hard links
            partial.replace(target)
    sync_folder(target.parent)


def dumpable_version(version: int) -> int:
    """Return the server's major version; raise StackError if it is newer than our pg_dump."""
    output = subprocess.run(
        [binaries() / "pg_dump", "--version"], capture_output=True, text=True, check=True
    ).stdout
    own = int(output.split()[-1].split(".")[0])
    if version // 10000 > own:
        raise StackError(
            f"The server that DATABASE_URL names is PostgreSQL {version // 10000}, and the pg_dump "
            f"that comes with ChampiPy is {own}: it cannot dump a newer server. Update ChampiPy, "
            "or dump with that server's pg_dump and copy the folders media/ and models/."
        )
    return version // 10000


@contextlib.contextmanager
def _snapshot(url: str) -> Iterator[tuple[str, psycopg2.extensions.cursor]]:
    """Hold a snapshot of the database; yield its name and a cursor that reads in it."""
    with contextlib.closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = 0")
        cursor.execute("SET statement_timeout = 0")
        connection.commit()
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        cursor.execute("SELECT pg_export_snapshot()")
        yield cursor.fetchall()[0][0], cursor


def _dump(url: str, snapshot: str, dump: Path) -> None:
    """Dump what the snapshot shows; raise StackError with pg_dump's message if that fails."""
    command = [str(binaries() / "pg_dump"), "--format=custom", f"--snapshot={snapshot}"]
    command += [f"--exclude-table-data={NOT_DUMPED}", "--no-owner", "--no-privileges"]
    command += ["--no-password", f"--file={dump}"]
    with client_environment(url) as environment:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"pg_dump could not dump the database: {done.stderr.strip()}")
    dump.chmod(0o600)


def _photos(cursor: psycopg2.extensions.cursor) -> Iterator[NamedFile]:
    cursor.execute("SELECT file, sha256 FROM predictions_photo ORDER BY id")
    return (NamedFile(f"media/{file}", sha256) for file, sha256 in cursor.fetchall())


def _version_files(cursor: psycopg2.extensions.cursor, home: Home) -> Iterator[NamedFile]:
    """Yield the files of each version: those that its row names, its card and its documents."""
    cursor.execute("SELECT name, version, files FROM mlmodels_modelversion ORDER BY id")
    for name, version, files in cursor.fetchall():
        folder = f"models/{name}/{version}"
        present = {path.name for path in (home.path / folder).glob("*")}
        for file in sorted({*files, "card.json", *present}):
            yield NamedFile(f"{folder}/{file}", files.get(file, {}).get("sha256"))


def _add(tar: tarfile.TarFile, name: str, path: Path) -> str:
    """Add a file to the archive; return the SHA-256 of its bytes."""
    with path.open("rb") as file:
        hashing = HashingFile(file)
        tar.addfile(_member(name, os.fstat(file.fileno()).st_size), hashing)
        return hashing.hexdigest()


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(time.time())
    return member
