"""Files of photos that have not been decoded yet: one per prediction, until it is answered.

They are kept apart from the stored photos. So a refused photo leaves nothing behind, and every
photo in the storage has been decoded successfully.
"""

import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.core.files import File
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile

from common.files import sync_folder, write_atomically


def incoming_path(prediction_id: int) -> Path:
    """Return the path of this prediction's photo while it is pending."""
    return Path(settings.CHAMPIPY_HOME) / "incoming" / str(prediction_id)


def incoming_write(prediction_id: int, chunks: Iterable[bytes]) -> None:
    """Write a photo's bytes atomically."""
    write_atomically(incoming_path(prediction_id), chunks)


class IncomingUpload(TemporaryUploadedFile):
    """An upload in a temporary file beside the incoming photos, deleted when it is closed.

    `incoming_keep` renames the file, so that its bytes are written only once.
    """

    def __init__(self, name: str, content_type: str | None, charset: str | None) -> None:
        folder = incoming_path(0).parent
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.NamedTemporaryFile(dir=folder, suffix=".upload")  # noqa: SIM115
        UploadedFile.__init__(self, file, name, content_type, 0, charset)


def incoming_keep(prediction_id: int, upload: File) -> None:
    """Make an upload's bytes the prediction's photo, atomically."""
    if not isinstance(upload, IncomingUpload):
        upload.seek(0)
        incoming_write(prediction_id, upload.chunks())
        return
    upload.flush()
    os.fsync(upload.fileno())
    Path(upload.temporary_file_path()).replace(incoming_path(prediction_id))
    sync_folder(incoming_path(0).parent)


def incoming_read(prediction_id: int) -> bytes | None:
    """Return the photo's bytes, or None if they were deleted (answered) or not yet written."""
    try:
        return incoming_path(prediction_id).read_bytes()
    except FileNotFoundError:
        return None


def incoming_delete(prediction_id: int) -> None:
    """Delete the photo's bytes, if they exist."""
    incoming_path(prediction_id).unlink(missing_ok=True)


def incoming_older_than(seconds: float) -> dict[Path, int | None]:
    """Return the files older than `seconds`, each with its prediction's id (None if partial)."""
    folder = incoming_path(0).parent
    limit = time.time() - seconds
    old: dict[Path, int | None] = {}
    for path in folder.glob("*"):
        try:
            if path.stat().st_mtime < limit:
                old[path] = int(path.name) if path.name.isdecimal() else None
        except FileNotFoundError:  # answered, and so deleted, in the meantime
            continue
    return old
