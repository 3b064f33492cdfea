"""Reads the stored bytes of photos for trainings and evaluations, which read each several times."""

import time
from typing import Final

from common.storage import StorageUnavailable, file_store
from common.storage.cache import cached_bytes

PATIENCE_S: Final = 60.0
"""How long a training or an evaluation waits for the store before it fails."""
PAUSE_S: Final = 2.0


def photo_bytes(name: str, sha256: str) -> bytes:
    """Return the bytes of a stored photo (`Photo.file`), from this machine's copy if it has one.

    A store that does not answer is asked again for a minute. Raises FileNotFoundError,
    DamagedFileError and StorageUnavailable.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return cached_bytes(file_store("default"), name, sha256=sha256)
        except StorageUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)
