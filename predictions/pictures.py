"""Small JPEG copies of stored photos, for the admin's pages.

The inference worker makes them on demand, because the web process decodes no photo
(docs/adr/0004-bytes-before-judgement.md); web sends only the file. They are a cache: the least
recently shown (in an object store: the first made) are removed beyond CHAMPIPY_PICTURE_CACHE_MB,
and any may be deleted at any time. Explanations lie beside them (`predictions.explanations`).
"""

import io
import time
from collections.abc import Callable
from typing import Final

from django.conf import settings

from common.broker import send_task
from common.storage import DamagedFileError, FileStore, file_store
from mlmodels.ml.preprocessing import decode_photo
from predictions.models import Photo
from predictions.photo_services import photo_read

SIDES: Final = {"thumbnail": 320, "picture": 1280}
"""The longest side of each kind of picture, in pixels."""
EXPLANATION: Final = "explanation"
KINDS: Final = (*SIDES, EXPLANATION)
MAKE_TASK = "predictions.tasks.make_picture"
EXPIRES_S: Final = 30.0
POLL_INTERVAL_S: Final = 0.05
REMOTE_POLL_INTERVAL_S: Final = 0.2
"""The same where the pictures are in an object store, which counts requests."""


def picture_wait(*, photo: Photo, kind: str, timeout_s: float) -> bytes | None:
    """Return a picture as JPEG; have a worker make it first if it is not in the cache.

    Waits at most `timeout_s` seconds; returns None if there is no picture then.
    """
    name = picture_name(photo.sha256, kind)
    return cached_wait(name, lambda: _send(photo.sha256, kind), timeout_s=timeout_s)


def _send(sha256: str, kind: str) -> bool:
    return send_task(MAKE_TASK, sha256, kind, expires_s=EXPIRES_S)


def picture_make(*, sha256: str, kind: str) -> None:
    """Make a picture from a stored photo's pixels, unless it is in the cache already.

    Does nothing if there is no such photo. Raises FileNotFoundError if its file is missing, and
    PhotoError if it can't be decoded.
    """
    name = picture_name(sha256, kind)
    if picture_store().exists(name):
        return
    data = photo_read(sha256=sha256)
    if data is None:
        return
    image = decode_photo(data)
    image.thumbnail((SIDES[kind], SIDES[kind]))
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=80)
    picture_store().write(name, jpeg.getvalue())


def pictures_delete(*, sha256: str) -> None:
    """Delete the pictures and explanations of a photo, for whoever deletes the photo.

    Raises StorageUnavailable.
    """
    store = picture_store()
    for kind in KINDS:
        for file in list(store.files(picture_name(sha256, kind, ""))):
            store.delete(file.name)


def pictures_prune() -> int:
    """Delete the least recently shown pictures beyond the bound; return how many."""
    store = picture_store()
    files = sorted(store.files(), key=lambda file: (file.modified, file.name))
    excess = sum(file.size for file in files) - 1_000_000 * settings.CHAMPIPY_PICTURE_CACHE_MB
    deleted = 0
    for file in files:
        if excess <= 0:
            break
        store.delete(file.name)
        excess -= file.size
        deleted += 1
    return deleted


def picture_store() -> FileStore:
    """Return the storage of pictures and explanations."""
    return file_store("pictures")


def picture_name(sha256: str, kind: str, suffix: str = ".jpg") -> str:
    """Return under which name the cache has, or would have, a photo's picture of this kind."""
    return f"{kind}/{sha256[:2]}/{sha256}{suffix}"


def cached_wait(name: str, send: Callable[[], bool], *, timeout_s: float) -> bytes | None:
    """Return a file of the cache; if it is not there, `send` for a worker to make it, and wait.

    Waits at most `timeout_s` seconds; returns None if there is no file then.
    """
    data = _read(name)
    if data is None and send():
        pause_s = REMOTE_POLL_INTERVAL_S if picture_store().is_remote else POLL_INTERVAL_S
        deadline = time.monotonic() + timeout_s
        while (data := _read(name)) is None and time.monotonic() < deadline:
            time.sleep(pause_s)
    return data


def _read(name: str) -> bytes | None:
    """Return a picture's bytes, and note that it was shown.

    None if it is not in the cache. A damaged one is deleted, to be made again.
    """
    store = picture_store()
    try:
        data = store.read(name)
        store.touch(name)
    except FileNotFoundError:
        return None
    except DamagedFileError:
        store.discard(name)
        return None
    return data
