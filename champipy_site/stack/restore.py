"""The command `restore`: fills an empty home, and an empty database, from a backup."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from champipy_site.stack.backup import (
    DUMP,
    FOLDERS,
    FORMAT,
    MANIFEST,
    end_with_cleaning_up,
)
from champipy_site.stack.commands import in_use_message
from champipy_site.stack.one_off import servers
from champipy_site.stack.postgresql import NAME as POSTGRESQL
from champipy_site.stack.postgresql import (
    binaries,
    client_environment,
    database_is_empty,
    has_extension,
)
from champipy_site.stack.servers import check_given, given_urls, session_url
from champipy_site.stack.state import Home, LockedError, StackError, read_state
from champipy_site.stack.valkey import NAME as VALKEY
from champipy_site.version import VERSION

CHUNK = 1 << 20
SCRATCH = "restoring."  # begins the name of the folder of the dump
DATA = (*FOLDERS, "incoming", POSTGRESQL, VALKEY)  # what an empty home does not have


def restore(home: Home, source: Path) -> int:
    """Restore a backup into an empty home; return 0.

    The backup is checked completely before anything is written. If the restore fails later, what
    it wrote is deleted; if it is killed, `Home.restoring` stays, keeps other commands from using
    the home, and lets the next restore clear it. Raise StackError if the home is not empty or in
    use, or the backup is damaged.
    """
    end_with_cleaning_up()
    state = read_state(home)
    if state.is_supervised():
        raise StackError(in_use_message(home, state))
    given = given_urls()
    check_given(given)
    check_empty(home, given)
    manifest = read_manifest(source)
    home.make()
    try:
        with home.lock():
            check_empty(home, given)
            home.restoring.touch(mode=0o600)
            try:
                clear(home)
                _restore(home, given, source, manifest["files"])
            except BaseException:
                clear(home)
                home.restoring.unlink()
                raise
            home.restoring.unlink()
    except LockedError as error:
        raise StackError(in_use_message(home, read_state(home))) from error
    if manifest.get("files_in_object_store"):
        print(
            "The backup has no photos and no versions: they are in the object store that "
            "CHAMPIPY_STORAGE_URL named then. Let it name that one, or a copy of it.",
            file=sys.stderr,
        )
    elif os.environ.get("CHAMPIPY_STORAGE_URL"):
        print(
            "The photos and versions of the backup are in CHAMPIPY_HOME. Move them to the object "
            "store before `up`: ./champipy move_files",
            file=sys.stderr,
        )
    print(
        f"Restored the backup of {manifest['made_at']} into {home.path}: the database and "
        f"{len(manifest['files']) - 1} files. Start it with ./champipy up."
    )
    return 0


def check_empty(home: Home, given: dict[str, str]) -> None:
    """Raise StackError unless the home has no data and the database of DATABASE_URL is empty."""
    found = [name for name in DATA if any((home.path / name).glob("*"))]
    if found and not home.restoring.exists():
        raise StackError(
            f"{home.path} is not empty: it has {', '.join(found)}. A backup is restored into an "
            "empty home only. Move that folder away, or set CHAMPIPY_HOME to a new one."
        )
    if "DATABASE_URL" in given and not database_is_empty(given["DATABASE_URL"]):
        raise StackError(
            "The database that DATABASE_URL names is not empty. Name an empty one: drop it and "
            "create it again if an interrupted restore filled it."
        )


def clear(home: Home) -> None:
    """Delete the data of a restore that did not finish."""
    for name in DATA:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(home.path / name)
    for scratch in home.path.glob(f"{SCRATCH}*"):
        shutil.rmtree(scratch)
    home.make()


def read_manifest(source: Path) -> dict:
    """Return the manifest of a backup after checking the whole file.

    Raise StackError if it is no backup, is cut off or damaged, or was made by a later ChampiPy.
    """
    found: dict[str, str] = {}
    manifest: dict = {}
    with (
        _members(source) as members,
        tqdm(desc="Checking", unit="B", unit_scale=True, file=sys.stderr, disable=None) as bar,
    ):
        for name, file in members:
            if name == MANIFEST:
                with contextlib.suppress(ValueError):
                    manifest = json.load(file)
                continue
            digest = hashlib.sha256()
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                bar.update(len(chunk))
            found[name] = digest.hexdigest()
    if not manifest:
        raise StackError(
            f"{source} is not a complete backup: its manifest is missing. It was cut off, or is "
            "another kind of file. Nothing was changed."
        )
    if manifest.get("format") != FORMAT or _newer(manifest["champipy"]):
        raise StackError(
            f"{source} was made by ChampiPy {manifest.get('champipy')}, and this is {VERSION}, "
            "which cannot read it. Update ChampiPy. Nothing was changed."
        )
    wrong = sorted({name for name, _ in manifest["files"].items() ^ found.items()})
    if wrong or DUMP not in found:
        raise StackError(
            f"{source} is damaged: {', '.join(wrong[:5]) or DUMP} "
            "does not have the SHA-256 of the manifest, or is missing. Use another backup. "
            "Nothing was changed."
        )
    return manifest


@contextlib.contextmanager
def _members(source: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Yield the names and files of a backup in their order.

    Raise StackError for a file that is no tar or is cut off, and for a member that is no plain file
    below `media` or `models`.
    """
    try:
        with tarfile.open(source, "r:") as tar:
            yield _plain_files(tar)
    except (tarfile.TarError, EOFError) as error:
        raise StackError(
            f"{source} is not a complete backup: {error}. Nothing was changed."
        ) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise StackError(f"{source} is not a file. Give the file of a backup.") from error


def _plain_files(tar: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    seen = set()
    for member in tar:
        parts = PurePosixPath(member.name).parts
        is_known = member.name in (DUMP, MANIFEST) or (parts[0] in FOLDERS and len(parts) > 1)
        file = tar.extractfile(member) if member.isreg() else None
        if file is None or ".." in parts or not is_known or member.name in seen:
            raise tarfile.TarError(f"{member.name!r} does not belong in a backup")
        seen.add(member.name)
        yield member.name, file


def _newer(version: str) -> bool:
    """Return whether a version such as 0.2.0 is later than this ChampiPy."""
    numbers, own = ([int(part) for part in text.split(".")] for text in (version, VERSION))
    return numbers > own


def _restore(home: Home, given: dict[str, str], source: Path, hashes: dict[str, str]) -> None:
    """Write the files, then the database in one transaction."""
    with tempfile.TemporaryDirectory(dir=home.path, prefix=SCRATCH) as folder:
        dump = Path(folder) / DUMP
        bar = tqdm(total=len(hashes), desc="Restoring", unit="file", file=sys.stderr, disable=None)
        with bar, _members(source) as members:
            for name, file in members:
                if name == MANIFEST:
                    continue
                path = dump if name == DUMP else home.path / name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _write(path, file, hashes[name])
                bar.update()
        os.sync()
        print("Loading the database …", file=sys.stderr, flush=True)
        with servers(home, given, name="restore") as urls:
            _load(session_url(urls), dump)


def _write(path: Path, file: IO[bytes], sha256: str) -> None:
    """Write one file; raise StackError if the backup was changed since it was checked."""
    digest = hashlib.sha256()
    with path.open("xb") as target:
        path.chmod(0o600)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            target.write(chunk)
    if digest.hexdigest() != sha256:
        raise StackError("The backup was changed while it was being restored. Try again.")


def _load(url: str, dump: Path) -> None:
    """Load a dump into an empty database, completely or not at all.

    The extension `vector` and its indexes are left out: PostgreSQL lets only a superuser make the
    one, and a server may lack it. `up` makes both again where it can.
    """
    contents = dump.with_suffix(".list")
    contents.write_text(_without_vectors(_pg_restore(["--list", str(dump)], os.environ)))
    options = ["--single-transaction", "--exit-on-error", f"--use-list={contents}"]
    options += ["--no-owner", "--no-privileges", "--no-password", "--dbname="]
    with client_environment(url) as environment:
        _pg_restore([*options, str(dump)], environment)
    if not has_extension(url, "vector"):
        print(
            "The server that DATABASE_URL names has no extension vector: everything was restored, "
            "but similar photos stay off until it has one (docs/operations.md, *Similar photos*).",
            file=sys.stderr,
        )


def _pg_restore(arguments: list[str], environment: Mapping[str, str]) -> str:
    """Return what pg_restore prints; raise StackError with its message if it fails."""
    command = [str(binaries() / "pg_restore"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"pg_restore could not load the database: {done.stderr.strip()}")
    return done.stdout


def _without_vectors(contents: str) -> str:
    """Return a dump's list of contents without the extension `vector` and its indexes."""
    left_out = re.compile(r" (EXTENSION - vector|- EXTENSION vector|INDEX public embeddings_\w+) ")
    return "".join(line for line in contents.splitlines(True) if not left_out.search(line))
