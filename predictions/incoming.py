"""The bytes of photos that nobody has judged yet: one file a prediction, until it is answered.

They stay apart from the stored photos, so that a refused photo leaves nothing behind and what lies
in the storage has always been decoded once.
"""

import time
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from common.files import write_atomically


def incoming_path(prediction_id: int) -> Path:
    """Return where the bytes of this prediction's photo lie while it is pending."""
    return Path(settings.CHAMPIPY_HOME) / "incoming" / str(prediction_id)


def incoming_write(prediction_id: int, chunks: Iterable[bytes]) -> None:
    """Write a photo's bytes whole or not at all."""
    write_atomically(incoming_path(prediction_id), chunks)


def incoming_read(prediction_id: int) -> bytes | None:
    """Return the photo's bytes, or None where they are gone (answered already) or not here yet."""
    try:
        return incoming_path(prediction_id).read_bytes()
    except FileNotFoundError:
        return None


def incoming_delete(prediction_id: int) -> None:
    """Forget the bytes; harmless when they are gone."""
    incoming_path(prediction_id).unlink(missing_ok=True)


def incoming_older_than(seconds: float) -> dict[Path, int | None]:
    """Return the files older than that, each with its prediction's id (None: a partial one)."""
    folder = incoming_path(0).parent
    limit = time.time() - seconds
    old: dict[Path, int | None] = {}
    for path in folder.glob("*"):
        try:
            if path.stat().st_mtime < limit:
                old[path] = int(path.name) if path.name.isdecimal() else None
        except FileNotFoundError:  # answered in this moment
            continue
    return old
