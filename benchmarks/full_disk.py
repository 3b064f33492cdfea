"""Fills the disk of a stack, and prints what its users get before, meanwhile and afterwards.

    sudo .venv/bin/python -m benchmarks.full_disk

The home lies on a file system in memory, which only root can mount.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import requests

from benchmarks.service import ALICE, Client, new_photo, stack

SIZE_MB = 900


def fill(folder: Path, leave_mb: int) -> Path:
    """Take the free space but for `leave_mb` with one file, and return it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while leave_mb == 0 or shutil.disk_usage(folder).free > leave_mb * 10**6:
                file.write(bytes(65536))
        except OSError:
            pass
    return filler


def answers(alice: Client, photo: bytes, seconds: float) -> None:
    """Print what uploads, reused answers and reads get for a time."""
    calls: dict[str, Callable[[], requests.Response]] = {
        "a new photo": lambda: alice.post(new_photo()),
        "a photo scored before": lambda: alice.post(photo),
        "GET /predictions": lambda: alice.session.get(f"{alice.base}/predictions", timeout=60),
    }
    seen: dict[str, Counter[str]] = {name: Counter() for name in calls}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for name, call in calls.items():
            try:
                answer = call()
            except requests.ConnectionError:
                seen[name]["no connection"] += 1
                continue
            code = answer.json()["errors"][0]["code"] if answer.status_code >= 400 else ""
            seen[name][f"{answer.status_code} {code}".rstrip()] += 1
    print("; ".join(f"{name}: {dict(counts)}" for name, counts in seen.items()), flush=True)


def main() -> None:
    """Mount a small disk, start a stack on it, and fill it twice."""
    folder = Path(tempfile.mkdtemp(prefix="champipy-disk-"))
    options = f"size={SIZE_MB}m,mode=0711"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    os.environ["CHAMPIPY_DISK_RESERVE_MB"] = "100"
    tempfile.tempdir = str(folder)
    try:
        with stack(8769) as (base, _):
            alice, photo = Client(base, ALICE), new_photo()
            alice.predict(photo)
            print("room", end=": ")
            answers(alice, photo, 5)
            filler = fill(folder, leave_mb=50)
            print("less than the reserve", end=": ")
            answers(alice, photo, 20)
            fill(folder, leave_mb=0)
            print("no room at all", end=": ")
            answers(alice, photo, 60)
            filler.unlink()
            began = time.monotonic()
            while alice.status_of(new_photo()) != 200:
                time.sleep(0.2)
            print(f"freed: a new photo was scored after {time.monotonic() - began:.1f} s")
            answers(alice, photo, 5)
            fill(folder, leave_mb=0)
            print("full when it is stopped", end=": ")
            answers(alice, photo, 5)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


if __name__ == "__main__":
    main()
