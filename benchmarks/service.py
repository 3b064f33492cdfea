"""Helpers for benchmarks: a temporary stack, its users, and new photos."""

import io
import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import requests
from PIL import Image

PROJECT = Path(__file__).resolve().parent.parent
PRETRAINED = PROJECT / "mlmodels" / "pretrained"
ALICE, BOB = ("alice", "wonderland"), ("bob", "builder")
_numbers = itertools.count(time.time_ns() % 10**9)


def new_photo() -> bytes:
    """Return the bytes of a JPEG of 320 x 240 pixels that has not been sent before."""
    generator = np.random.default_rng(next(_numbers))
    coarse = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    data = io.BytesIO()
    coarse.resize((320, 240), Image.Resampling.BICUBIC).save(data, "JPEG", quality=85)
    return data.getvalue()


class Client:
    """A user with a token and a persistent connection."""

    def __init__(self, base: str, user: tuple[str, str] = ALICE) -> None:
        self.base = base
        self.session = requests.Session()
        login = dict(zip(("username", "password"), user, strict=True))
        token = self.session.post(f"{base}/token", json=login, timeout=10).json()["token"]
        self.session.headers["Authorization"] = f"Token {token}"

    def post(self, photo: bytes) -> requests.Response:
        """Upload a photo, wait up to 30 s for its prediction, and return the response."""
        return self.session.post(
            f"{self.base}/predictions",
            files={"file": ("photo.jpg", photo)},
            headers={"Prefer": "wait=30"},
            timeout=60,
        )

    def predict(self, photo: bytes) -> dict:
        """Upload a photo and return its prediction; raise RuntimeError for any status but 200."""
        response = self.post(photo)
        if response.status_code != 200:
            raise RuntimeError(f"{response.status_code}: {response.text[:200]}")
        return response.json()

    def status_of(self, photo: bytes) -> int:
        """Upload a photo and return the status code, or 0 if the connection failed."""
        try:
            return self.post(photo).status_code
        except requests.ConnectionError:
            return 0


KINDS = {
    "web": "champipy_site.web",
    **{name: f"--queues {name}" for name in ("inference", "fetch", "monitoring", "training")},
    "beat": "-A champipy_site beat",
    "PostgreSQL": "postgres",
    "Valkey": "valkey-server",
}
"""What the command line of each kind of process has in it."""


def processes(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the processes of the stack with this home, each with its kind (a key of KINDS)."""
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            is_of_stack = process.environ().get("CHAMPIPY_HOME") == str(home)
            if process.name() == "postgres":  # it writes its state over its environment
                is_of_stack = str(home) in " ".join([line, *process.parent().cmdline()])
        except (psutil.Error, AttributeError):
            continue
        kinds = [kind for kind, word in KINDS.items() if word in line]
        if is_of_stack and kinds:
            yield kinds[0], process


@contextmanager
def stack(port: int) -> Iterator[tuple[str, Path]]:
    """Start ChampiPy with a new home; yield the base URL of its API and the home, then stop it."""
    with tempfile.TemporaryDirectory(prefix="champipy-benchmark-") as folder:
        Path(folder).chmod(0o711)
        home = Path(folder) / "home"
        environment = os.environ | {"CHAMPIPY_HOME": str(home)}
        script = str(PROJECT / "champipy")
        up = [script, "up", "--detach", "--port", str(port)]
        subprocess.run(up, env=environment, check=True)
        try:
            yield f"http://127.0.0.1:{port}/api/v1", home
        finally:
            subprocess.run([script, "down"], env=environment, check=True)
