"""Small JPEG copies of stored photos, for the admin's pages.

The inference worker makes them on demand, because the web process decodes no photo
(docs/adr/0004-bytes-before-judgement.md); web sends only the file. They are a cache: the least
recently shown are removed beyond CHAMPIPY_PICTURE_CACHE_MB, and any may be deleted at any time.
Explanations lie beside them (`predictions.explanations`).
"""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from django.conf import settings

from common.broker import send_task
from common.files import write_atomically
from mlmodels.ml.preprocessing import decode_photo
from predictions.models import Photo
from predictions.photo_services import photo_read

SIDES: Final = {"thumbnail": 320, "picture": 1280}
"""The longest side of each kind of picture, in pixels."""
MAKE_TASK = "predictions.tasks.make_picture"
EXPIRES_S: Final = 30.0
POLL_INTERVAL_S: Final = 0.05


def picture_wait(*, photo: Photo, kind: str, timeout_s: float) -> bytes | None:
    """Return a picture as JPEG; have a worker make it first if it is not in the cache.

    Waits at most `timeout_s` seconds; returns None if there is no picture then.
    """
    path = cached_path(photo.sha256, kind)
    return cached_wait(path, lambda: _send(photo.sha256, kind), timeout_s=timeout_s)


def _send(sha256: str, kind: str) -> bool:
    return send_task(MAKE_TASK, sha256, kind, expires_s=EXPIRES_S)


def picture_make(*, sha256: str, kind: str) -> None:
    """Make a picture from a stored photo's pixels, unless it is in the cache already.

    Does nothing if there is no such photo. Raises FileNotFoundError if its file is missing, and
    PhotoError if it can't be decoded.
    """
    path = cached_path(sha256, kind)
    if path.exists():
        return
    data = photo_read(sha256=sha256)
    if data is None:
        return
    image = decode_photo(data)
    image.thumbnail((SIDES[kind], SIDES[kind]))
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=80)
    write_atomically(path, [jpeg.getvalue()])


def pictures_delete(*, sha256: str) -> None:
    """Delete the pictures and explanations of a photo, for whoever deletes the photo."""
    for path in _folder().glob(f"*/{sha256[:2]}/{sha256}*"):
        path.unlink(missing_ok=True)


def pictures_prune() -> int:
    """Delete the least recently shown pictures beyond the bound; return how many."""
    records = []
    for path in _folder().glob("*/*/*"):
        try:
            record = path.stat()
        except FileNotFoundError:  # deleted meanwhile
            continue
        records.append((record.st_mtime, str(path), record.st_size))
    excess = sum(size for *_, size in records) - 1_000_000 * settings.CHAMPIPY_PICTURE_CACHE_MB
    deleted = 0
    for _, path_name, size in sorted(records):
        if excess <= 0:
            break
        Path(path_name).unlink(missing_ok=True)
        excess -= size
        deleted += 1
    return deleted


def _folder() -> Path:
    return Path(settings.CHAMPIPY_HOME) / "cache" / "pictures"


def cached_path(sha256: str, kind: str, suffix: str = ".jpg") -> Path:
    """Return where the cache has, or would have, a photo's picture of this kind."""
    return _folder() / kind / sha256[:2] / f"{sha256}{suffix}"


def cached_wait(path: Path, send: Callable[[], bool], *, timeout_s: float) -> bytes | None:
    """Return a file of the cache; if it is not there, `send` for a worker to make it, and wait.

    Waits at most `timeout_s` seconds; returns None if there is no file then.
    """
    data = _read(path)
    if data is None and send():
        deadline = time.monotonic() + timeout_s
        while (data := _read(path)) is None and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL_S)
    return data


def _read(path: Path) -> bytes | None:
    """Return a picture's bytes, and note that it was shown; None if it is not in the cache."""
    try:
        data = path.read_bytes()
        os.utime(path)
    except FileNotFoundError:
        return None
    return data
