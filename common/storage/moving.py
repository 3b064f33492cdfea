"""Moves files between the home and the object store, one by one, so that it may be interrupted."""

import hashlib
import re
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from common.storage import Alias, FileStore, file_store
from common.storage.errors import DamagedFileError
from common.storage.local import LocalStorage
from common.storage.url import LOCAL_FOLDERS

MOVED: Final[tuple[Alias, ...]] = ("models", "default", "incoming")
"""Pictures are not moved: they are made again."""


class Outcome(Enum):
    MOVED = "moved"
    DAMAGED = "damaged"
    GONE = "gone"


class Move(NamedTuple):
    """A file that is to be moved."""

    source: FileStore
    target: FileStore
    name: str
    size: int


def planned_moves(*, back: bool) -> Iterator[Move]:
    """Yield the files of the home, or with `back` those of the object store.

    Temporary files, which belong to a process that runs or has died, are left out.
    """
    for alias in MOVED:
        pair = (LocalStorage(LOCAL_FOLDERS[alias]), file_store(alias))
        source, target = reversed(pair) if back else pair
        for file in source.files():
            parts = file.name.split("/")
            is_temporary = any(part.startswith(".") for part in parts) or parts[-1].endswith(".tmp")
            if not is_temporary and (alias != "incoming" or file.name.isdecimal()):
                yield Move(source, target, file.name, file.size)


def file_move(move: Move, *, keep: bool) -> Outcome:
    """Copy a file unless the target has it, compare what is read back, then delete the source.

    A file that is damaged (a photo's name is its SHA-256) stays where it is. With `keep` all stay.
    Raises StorageUnavailable, and DamagedFileError if the target returns other bytes.
    """
    try:
        data = move.source.read(move.name)
    except FileNotFoundError:  # answered, or deleted, meanwhile
        return Outcome.GONE
    except DamagedFileError:
        return Outcome.DAMAGED
    digest = hashlib.sha256(data).hexdigest()
    base_name = move.name.rpartition("/")[2]
    if re.fullmatch("[0-9a-f]{64}", base_name) and base_name != digest:
        return Outcome.DAMAGED
    if not _has(move.target, move.name, digest):
        move.target.write(move.name, data)
        if not _has(move.target, move.name, digest):
            raise DamagedFileError(f"{move.name} is not what was written")
    if not keep:
        move.source.delete(move.name)
    return Outcome.MOVED


def _has(store: FileStore, name: str, digest: str) -> bool:
    try:
        return hashlib.sha256(store.read(name)).hexdigest() == digest
    except (FileNotFoundError, DamagedFileError):
        return False
