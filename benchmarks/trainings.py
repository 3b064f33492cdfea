"""Trains on real photos through the API of a stack of its own, and compares with `model.fit`.

    .venv/bin/python -m benchmarks.trainings PHOTOS

PHOTOS is the folder that `benchmarks.reference` reads. Runs follow one another as an administrator
would request them, so that all but the first find cached features. While the third one works, new
photos are sent, a second apart. `benchmarks.training` compares with Keras's `model.fit` at the end.
"""

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.service import ALICE, BOB, PROJECT, Client, new_photo, stack
from champipy_site.stack.ports import choose_port

RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "train": ("train", {}),
    "train again, features cached": ("train", {"seed": 1}),
    "train block5": ("train", {"variables": 4}),
    "fine-tune the head": (
        "finetune",
        {"model_name": "VGG16", "stage": "Production", "variables": 1, "epochs": 1},
    ),
    "search, 10 minutes": ("search", {"trials": 4, "minutes": 10}),
}
SENT_DURING = "train block5"


def command(home: Path, *arguments: str) -> None:
    """Run one of ChampiPy's commands on the stack with this home."""
    environment = os.environ | {"CHAMPIPY_HOME": str(home)}
    subprocess.run([str(PROJECT / "champipy"), *arguments], env=environment, check=True)


def training_seconds(home: Path) -> float:
    """Return the processor time that the training workers of this home and their children took."""
    total = 0.0
    for process in psutil.process_iter():
        try:
            if "--queues training" not in " ".join(process.cmdline()):
                continue
            if process.environ().get("CHAMPIPY_HOME") == str(home):
                times = process.cpu_times()
                total += times.user + times.system
        except psutil.Error:
            continue
    return total


def run(bob: Client, home: Path, kind: str, body: dict[str, Any], meanwhile: Callable) -> None:
    """Request a run, wait for its end, and print how long it took and how good it is."""
    started = time.monotonic()
    answer = bob.session.post(f"{bob.base}/{kind}", json=body, timeout=60)
    answer.raise_for_status()
    path, cores = f"{bob.base}/runs/{answer.json()['id']}", 0.0
    while True:
        row = bob.session.get(path, timeout=60).json()
        cores = max(cores, training_seconds(home))
        if row["status"] not in ("queued", "running"):
            break
        meanwhile()
        time.sleep(1)
    minutes, metrics = (
        (time.monotonic() - started) / 60,
        (row["metrics"] or {}).get("evaluation", {}),
    )
    low, high = metrics.get("ci95", (0, 0))
    print(
        f"    {row['status']} after {minutes:.1f} min, {cores / 60:.1f} min of processor time: "
        f"right on {metrics.get('accuracy', 0):.1%} of {metrics.get('n')} ({low:.1%} to "
        f"{high:.1%}), ECE {metrics.get('ece', 0):.1%}; {len(row['history'])} epochs, "
        f"{len(row['trials'])} trials {row['error'] or ''}",
        flush=True,
    )


def main() -> None:
    """Import the photos, make the runs, and compare with `model.fit`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    options = parser.parse_args()
    port = choose_port()
    with stack(port) as (base, home):
        train, evaluation = options.photos / "train", options.photos / "evaluation"
        command(home, "import_photos", str(train), "--split", "training")
        resembling = ("--split", "evaluation", "--allow-resembling")
        command(home, "import_photos", str(evaluation), *resembling)
        bob, alice = Client(base, BOB), Client(base, ALICE)
        seconds: list[float] = []

        def send_photo() -> None:
            started = time.monotonic()
            alice.predict(new_photo())
            seconds.append(time.monotonic() - started)

        for name, (kind, body) in RUNS.items():
            print(f"{name}: POST /{kind} {body or ''}", flush=True)
            run(bob, home, kind, body, send_photo if name == SENT_DURING else lambda: None)
        print(
            f"new photos meanwhile: {len(seconds)}, all answered; median "
            f"{1000 * statistics.median(seconds):.0f} ms, longest {1000 * max(seconds):.0f} ms"
        )
        script = "from benchmarks.training import main; main()"
        command(home, "shell", "--verbosity", "0", "-c", script)


if __name__ == "__main__":
    main()
