"""Copies of stored files on this machine, for processes that read the same ones again and again.

They lie in CHAMPIPY_HOME/cache/stored, which holds at most about CHAMPIPY_STORAGE_CACHE_MB; the
least recently used go first. Any may be deleted at any time. Several processes may use them at
once: a copy appears complete, under its last name, or not at all. Nobody trusts a copy: its bytes
are compared with a SHA-256 when it is read, and fetched again where they differ.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from django.conf import settings

from common.storage.base import FileStore
from common.storage.errors import DamagedFileError

IN_USE_S: Final = 60.0
"""A copy that was used within these seconds is not deleted."""
SLACK: Final = 0.02
"""Each process looks at the cache's size when it has added this share of what it may hold."""

_added = float("inf")  # bytes that this process has added since it last looked


def cached_bytes(store: FileStore, name: str, *, sha256: str) -> bytes:
    """Return the bytes of a stored file with this SHA-256, from this machine where it has them.

    A store on this machine is read directly, and nothing is compared. Raises FileNotFoundError,
    DamagedFileError if the store has other bytes, and StorageUnavailable.
    """
    if not store.is_remote:
        return store.read(name)
    path = _root() / "files" / sha256[:2] / sha256
    with suppress(FileNotFoundError):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == sha256:
            _use(path)
            return data
    data = store.read(name)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedFileError(f"{name} has not the SHA-256 {sha256}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path.parent) as scratch:
        (scratch / "file").write_bytes(data)
        (scratch / "file").replace(path)
    _bound(len(data), keep=path)
    return data


def cached_folder(store: FileStore, name: str, *, is_stale: bool) -> Path:
    """Return the copy of a stored folder, fetched first if there is none, or if it is stale.

    Raises FileNotFoundError if nothing is stored there, DamagedFileError and StorageUnavailable.
    """
    target = _root() / "folders" / name
    if not is_stale and target.is_dir():
        _use(target)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock():  # others wait, and then find it
        if not is_stale and target.is_dir():
            return target
        with _temporary(_root()) as scratch:
            folder = scratch / "new"
            folder.mkdir()
            size = 0
            for file in store.files(f"{name}/"):
                size += _fetch(store, file.name, folder / Path(file.name).name)
            if size == 0:
                raise FileNotFoundError(f"There are no files in {name}")
            if target.is_dir():
                target.rename(scratch / "stale")
            folder.rename(target)
    _bound(size, keep=target)
    return target


def _fetch(store: FileStore, name: str, path: Path) -> int:
    with store.open(name) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target)
        return target.tell()


def _root() -> Path:
    return Path(settings.CHAMPIPY_HOME) / "cache" / "stored"


@contextmanager
def _temporary(parent: Path) -> Iterator[Path]:
    """Yield a new folder; its name says to what has died with it in hand that it may go."""
    folder = Path(tempfile.mkdtemp(dir=parent, suffix=".tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lock() -> Iterator[None]:
    """Keep other threads and processes from fetching folders and from deleting copies."""
    descriptor = os.open(_root() / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _use(path: Path) -> None:
    with suppress(FileNotFoundError):
        os.utime(path)


class _Copy(NamedTuple):
    used: float
    path: Path
    size: int


def _bound(added: int, *, keep: Path) -> None:
    """Delete the least recently used copies beyond the bound, now and then."""
    global _added  # noqa: PLW0603 - of this process
    bound = settings.CHAMPIPY_STORAGE_CACHE_MB * 1_000_000
    _added += added
    if _added < SLACK * bound:
        return
    with _lock():
        _added = 0
        copies = sorted(_copies())
        excess = sum(copy.size for copy in copies) - (1 - SLACK) * bound
        for copy in copies:
            if excess <= 0 or copy.used > time.time() - IN_USE_S:
                return
            if copy.path != keep:
                _delete(copy.path)
                excess -= copy.size


def _copies() -> Iterator[_Copy]:
    """Yield all copies, and what dead processes left half done."""
    root = _root()
    for path in (*root.glob("files/*/*"), *root.glob("folders/*/*"), *root.glob("*.tmp")):
        with suppress(FileNotFoundError):
            used = path.stat().st_mtime
            files = path.rglob("*") if path.is_dir() else [path]
            yield _Copy(used, path, sum(file.lstat().st_size for file in files))


def _delete(path: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    with _temporary(_root()) as scratch, suppress(FileNotFoundError):
        path.rename(scratch / "doomed")
