"""Clients that ask for photos at once, whatever happens to the service, and count every answer."""

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import requests

from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo

PATIENCE_S = 120.0
"""How long a client repeats one request."""
RETRIED = {429, 500, 502, 503, 504, 507}


class Load:
    """Clients of several webs. Each repeats a request, by its key, until it is accepted."""

    def __init__(
        self,
        webs: Sequence[str],
        clients: int = 6,
        first_photo: int = 10_000,
        photo_server: PhotoServer | None = None,
    ) -> None:
        self.webs = webs
        self._urls = iter(
            [photo_server.url(name) for name in photo_server.files] if photo_server else []
        )
        self.ids: dict[str, int] = {}
        """The prediction of each key that was accepted."""
        self.codes: Counter[int] = Counter()
        self.unexpected: list[str] = []
        self.given_up: list[str] = []
        self._next_photo = first_photo
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number, token_of(webs[0])))
            for number in range(clients)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop once each client's request is accepted or given up."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int, token: str) -> None:
        turn = number
        while not self._stopping.is_set():
            turn += 1
            with self._lock:
                url = next(self._urls, None) if turn % 5 == 0 else None
                photo = self._next_photo
                self._next_photo += turn % 4 > 0  # each fourth photo comes again
            key = secrets.token_hex(16)
            self._send(key, url or drawn_photo(photo), token, turn)

    def _send(self, key: str, data: bytes | str, token: str, turn: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            turn += 1
            response = post(self.webs[turn % len(self.webs)], data, token, key)
            with self._lock:
                self.codes[response.status_code if response is not None else 0] += 1
                if response is not None and response.status_code in (200, 202):
                    self.ids[key] = response.json()["id"]
                    return
                if response is not None and response.status_code not in RETRIED:
                    self.unexpected.append(f"{response.status_code}: {response.text[:300]}")
                    return
            time.sleep(0.5)
        with self._lock:
            self.given_up.append(key)


def token_of(web: str, name: str = "alice", password: str = "wonderland") -> str:
    login = {"username": name, "password": password}
    return str(requests.post(f"{web}/api/v1/token", json=login, timeout=20).json()["token"])


def post(
    web: str, data: bytes | str, token: str, key: str, wait_s: int = 10
) -> requests.Response | None:
    """Upload a photo, or send its URL; return the response, or None if there is none."""
    is_url = isinstance(data, str)
    try:
        return requests.post(
            f"{web}/api/v1/predictions",
            files=None if is_url else {"file": ("photo.jpg", data)},
            json={"file": data} if is_url else None,
            headers={
                "Authorization": f"Token {token}",
                "Idempotency-Key": key,
                "Prefer": f"wait={wait_s}",
            },
            timeout=wait_s + 15,
        )
    except requests.RequestException:
        return None


def seconds_until(is_well: Callable[[], bool], limit_s: float) -> float:
    """Return after how many seconds it is well; raise AssertionError after `limit_s`."""
    began = time.monotonic()
    while not is_well():
        assert time.monotonic() - began < limit_s, f"not well again after {limit_s:.0f} s"
        time.sleep(0.25)
    return time.monotonic() - began


COUNT = """
import json
from django.db.models import Count
from predictions.models import Inference, Photo, Prediction
rows = Prediction.objects.filter(user__username="alice")
print("COUNTED", json.dumps({
    "ids": sorted(rows.values_list("pk", flat=True)),
    "states": dict(rows.values_list("status").annotate(Count("pk")).order_by()),
    "photos": Photo.objects.count(),
    "inferences": Inference.objects.count(),
}))
"""


def counted(output: str) -> dict:
    """Return what the code COUNT printed in a shell of the stack."""
    [line] = [line for line in output.splitlines() if line.startswith("COUNTED ")]
    return json.loads(line.removeprefix("COUNTED "))
