"""Where files are that several processes need: under CHAMPIPY_HOME, or in an object store (S3).

CHAMPIPY_STORAGE_URL decides. Files are known by storage and name, never by path: `file_store` says
which storages there are (docs/adr/0027-files-by-name.md).
"""

from typing import Literal, cast

from django.core.files.storage import storages

from common.storage.base import FileStore, StoredFile
from common.storage.errors import DamagedFileError, StorageUnavailable

__all__ = [
    "Alias",
    "DamagedFileError",
    "FileStore",
    "StorageUnavailable",
    "StoredFile",
    "file_store",
]

Alias = Literal["default", "incoming", "models", "pictures"]


def file_store(alias: Alias) -> FileStore:
    """Return a storage: photos (`default`), incoming photos, models, or pictures of photos."""
    return cast(FileStore, storages[alias])
