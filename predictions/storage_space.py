"""The disk's free space: new photos that go to the disk are refused before it is full."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from predictions.errors import NotAccepted
from predictions.incoming import incoming_store

_FULL = {errno.ENOSPC, errno.EDQUOT}


def is_disk_full(error: OSError) -> bool:
    """Return whether a write failed because the disk, or the user's quota of it, is full."""
    return error.errno in _FULL


def check_space() -> None:
    """Raise NotAccepted("storage_full") if less than CHAMPIPY_DISK_RESERVE_MB are free.

    The reserve is for the database, the logs and the photos that were accepted already. Where
    photos go to an object store, this machine's disk is not asked.
    """
    if incoming_store().is_remote:
        return
    free = shutil.disk_usage(settings.CHAMPIPY_HOME).free
    if free < settings.CHAMPIPY_DISK_RESERVE_MB * 1_000_000:
        raise NotAccepted("storage_full")


@contextmanager
def refuse_when_full() -> Iterator[None]:
    """Raise NotAccepted("storage_full") where a write finds the disk full."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise NotAccepted("storage_full") from error
