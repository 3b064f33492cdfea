"""What ChampiPy asks of a storage, besides what Django does."""

import logging
import secrets
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from common.storage.errors import DamagedFileError, StorageUnavailable

logger = logging.getLogger(__name__)


class StoredFile(NamedTuple):
    """A file as a storage lists it."""

    name: str
    size: int
    """In bytes."""
    modified: float
    """Seconds since 1970."""


class FileStore(Storage):
    """A storage whose files are replaced as a whole, and durable once `save` has returned.

    Any method raises StorageUnavailable if an object store does not do what it is asked.
    """

    is_remote: ClassVar[bool]
    """Whether each call asks another machine."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return the name itself: a file of this name is replaced."""
        return name

    def write(self, name: str, data: bytes) -> None:
        """Store bytes under a name."""
        self.save(name, ContentFile(data))

    def link(self, name: str, other: "FileStore", other_name: str) -> bool:
        """Give a file of another storage a name here, too; return False where that cannot be done.

        Neither file may ever be changed in place.
        """
        return False

    def read(self, name: str) -> bytes:
        """Return a file's bytes; raise FileNotFoundError, or DamagedFileError if that is known."""
        with self.open(name) as file:
            return bytes(file.read())

    def discard(self, name: str) -> None:
        """Delete a file that nothing needs. Where that fails it stays, for the retention."""
        try:
            self.delete(name)
        except StorageUnavailable as error:
            logger.warning("%s was not deleted, and is left to ./champipy prune: %s", name, error)

    def try_out(self) -> None:
        """Write, list, read and delete a small file.

        Raises DamagedFileError if other bytes came back.
        """
        name = f"check-{secrets.token_hex(8)}"
        self.write(name, b"check")
        try:
            next(self.files(name), None)
            if self.read(name) != b"check":
                raise DamagedFileError(f"{name} is not as it was stored")
        finally:
            self.delete(name)

    @property
    @abstractmethod
    def upload_folder(self) -> Path | None:
        """Folder for uploads that `save` then takes without copying them. None: any will do."""

    @abstractmethod
    def touch(self, name: str) -> None:
        """Note that a file was used, where the storage can; raise FileNotFoundError."""

    @abstractmethod
    def files(self, prefix: str = "") -> Iterator[StoredFile]:
        """Yield the files whose names begin with `prefix`; new ones may be missing."""

    @abstractmethod
    def has_folder(self, name: str) -> bool:
        """Return whether there is any file in a folder."""

    @abstractmethod
    def save_folder(self, name: str, source: Path) -> None:
        """Store the files of a flat folder under `name`, and delete others that it had."""

    @abstractmethod
    def delete_folder(self, name: str) -> int:
        """Delete a folder, also one that is half deleted; return the bytes of its files."""

    @abstractmethod
    def local_folder(self, name: str, *, is_stale: bool = False) -> Path:
        """Return a folder of this machine with a stored folder's files; raise FileNotFoundError.

        It is to be read soon, and never written to. `is_stale`: the folder that was returned before
        holds wrong bytes.
        """
