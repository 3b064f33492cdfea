"""Files of photos that have not been decoded yet: one per prediction, until it is answered.

They are kept apart from the stored photos. So a refused photo leaves nothing behind, and every
photo in the storage has been decoded successfully.
"""

import tempfile
import time

from django.core.files import File
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile

from common.storage import DamagedFileError, FileStore, file_store


def incoming_store() -> FileStore:
    """Return the storage of these files; a file's name is its prediction's id."""
    return file_store("incoming")


def incoming_write(prediction_id: int, data: bytes) -> None:
    """Store a photo's bytes. Raises StorageUnavailable."""
    incoming_store().write(str(prediction_id), data)


class IncomingUpload(TemporaryUploadedFile):
    """An upload in a temporary file, deleted when it is closed.

    Where the incoming photos are files, it lies beside them, and `incoming_keep` renames it: its
    bytes are written only once.
    """

    def __init__(self, name: str, content_type: str | None, charset: str | None) -> None:
        folder = incoming_store().upload_folder
        file = tempfile.NamedTemporaryFile(dir=folder, suffix=".upload")  # noqa: SIM115
        UploadedFile.__init__(self, file, name, content_type, 0, charset)


def incoming_keep(prediction_id: int, upload: File) -> None:
    """Make an upload's bytes the prediction's photo, atomically. Raises StorageUnavailable."""
    incoming_store().save(str(prediction_id), upload)


def incoming_read(prediction_id: int) -> bytes | None:
    """Return the photo's bytes, or None if they were deleted (answered), damaged or not written.

    Raises StorageUnavailable.
    """
    try:
        return incoming_store().read(str(prediction_id))
    except (FileNotFoundError, DamagedFileError):
        return None


def incoming_link(prediction_id: int, store: FileStore, name: str) -> bool:
    """Give the photo's file a name in another storage, too; return False where it has no links."""
    return store.link(name, incoming_store(), str(prediction_id))


def incoming_delete(prediction_id: int) -> None:
    """Delete the photo's bytes, if they exist; `incoming_sweep` finds those that stay."""
    incoming_store().discard(str(prediction_id))


def incoming_older_than(seconds: float) -> dict[str, int | None]:
    """Return the files older than `seconds`, each with its prediction's id (None if partial)."""
    limit = time.time() - seconds
    return {
        file.name: int(file.name) if file.name.isdecimal() else None
        for file in incoming_store().files()
        if file.modified < limit
    }
