"""Measures the memory of each kind of process of a stack of its own.

    .venv/bin/python -m benchmarks.memory

Printed is the proportional set size, in which memory that processes share counts once: after the
start, and after new photos from one client and from eight at a time. At the end it prints how much
`inference` and its child take at most while a photo of 25 megapixels of each kind is scored.
"""

import io
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
from PIL import Image

from benchmarks.service import KINDS, Client, new_photo, processes, stack
from champipy_site.stack.ports import choose_port

PHOTOS = 40
CLIENTS = 8
LARGE: dict[str, dict[str, bool]] = {"PNG": {}, "WebP": {}, "JPEG": {"progressive": True}}
"""Kinds of photos of 25 megapixels, with the options of their encoders."""


def megabytes(home: Path) -> dict[str, float]:
    """Return the proportional set size of the stack with this home by kind of process, in MB."""
    taken: defaultdict[str, float] = defaultdict(float)
    for kind, process in processes(home):
        with suppress(psutil.Error):  # it has just ended
            taken[kind] += process.memory_full_info().pss / 1e6
    return taken


def peak(home: Path, client: Client, photo: bytes) -> float:
    """Return the most that `inference` and its child take while a photo is scored, in MB."""
    most, is_scored = 0.0, threading.Event()

    def watch() -> None:
        nonlocal most
        ours = [each for kind, each in processes(home) if kind == "inference"]
        while not is_scored.wait(0.005):
            most = max(most, sum(each.memory_full_info().pss for each in ours) / 1e6)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        client.predict(photo)
    finally:
        is_scored.set()
        watching.join()
    return most


def main() -> None:
    """Print one line for each state of the stack."""
    with stack(choose_port()) as (base, home):
        client = Client(base)
        print(f"{'MB':<24}" + "".join(f"{kind:>12}" for kind in KINDS))

        def tell(state: str) -> None:
            taken = megabytes(home)
            print(f"{state:<24}" + "".join(f"{taken[kind]:12.0f}" for kind in KINDS), flush=True)

        tell("at rest")
        for _ in range(PHOTOS):
            client.predict(new_photo())
        tell(f"{PHOTOS} photos, one client")
        clients = [Client(base) for _ in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as threads:
            for _ in range(PHOTOS):
                list(threads.map(lambda each: each.predict(new_photo()), clients))
        tell(f"{CLIENTS * PHOTOS} photos, {CLIENTS} clients")
        picture = Image.radial_gradient("L").resize((5000, 5000)).convert("RGB")
        for kind, options in LARGE.items():
            photo = io.BytesIO()
            picture.save(photo, kind, **options)
            print(f"inference, 25 megapixels of {kind}: {peak(home, client, photo.getvalue()):.0f}")
        tell("after these")


if __name__ == "__main__":
    main()
