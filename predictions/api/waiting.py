"""Places for requests that wait for their prediction: each holds a thread of the web process."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings


class WaitingPlaces:
    """Counts this process's waiting requests, in all and for each user."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Counter[int] = Counter()

    @contextmanager
    def taken_by(self, user_id: int) -> Iterator[bool]:
        """Take a place for the time of the context; yield False if there is none for this user."""
        with self._lock:
            is_free = (
                self._taken.total() < settings.CHAMPIPY_WAITING_REQUESTS
                and self._taken[user_id] < settings.CHAMPIPY_USER_WAITING_REQUESTS
            )
            if is_free:
                self._taken[user_id] += 1
        try:
            yield is_free
        finally:
            if is_free:
                with self._lock:
                    self._taken[user_id] -= 1
                    self._taken += Counter()  # forget users without a waiting request


waiting_places = WaitingPlaces()
"""Those of this process."""
