"""Runs the benchmarks of docs/performance.md one after another, on one machine and one commit.

    .venv/bin/python -m benchmarks --photos PHOTOS          # all, some two hours
    .venv/bin/python -m benchmarks api growth               # some

PHOTOS is the folder that `benchmarks.reference` reads; without it, what needs real photos is left
out. What each prints goes to `var/benchmarks/NAME.txt`, below the commit, the processor and the
load. One that fails does not keep the others from running.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.service import PROJECT

RUNS: dict[str, tuple[str, ...]] = {
    "engine": ("engine",),
    "winograd": ("winograd",),
    "api": ("api",),
    "load": ("load", "--clients", "32", "--seconds", "120", "--kill", "inference"),
    "load-valkey": ("load", "--clients", "8", "--seconds", "24", "--kill", "valkey"),
    "load-postgresql": ("load", "--clients", "8", "--seconds", "24", "--kill", "postgresql"),
    "memory": ("memory",),
    "promotions": ("promotions",),
    "pages": ("pages",),
    "similar": ("similar",),
    "slow_clients": ("slow_clients",),
    "attacks": ("attacks",),
    "full_disk": ("full_disk",),
    "growth": ("growth",),
    "trainings": ("trainings", "PHOTOS"),
}
"""The module and its arguments by the name of the run. `PHOTOS` stands for the folder."""


def circumstances() -> str:
    """Return what figures depend on: the commit, the day, the processor and what else it does."""
    git = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    processor = ", ".join(names) or platform.processor()
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, commit {commit}, {os.cpu_count()} cores of "
        f"{processor}, Python {platform.python_version()}, load {load}"
    )


def run(name: str, arguments: list[str], folder: Path) -> bool:
    """Run a benchmark, write what it prints into a file, and return whether it succeeded."""
    began, path = time.monotonic(), folder / f"{name}.txt"
    shown = f".venv/bin/python -m benchmarks.{' '.join(arguments)}"
    with path.open("w") as file:
        file.write(f"{circumstances()}\n{shown}\n\n")
        file.flush()
        module, *options = arguments
        command = [sys.executable, "-m", f"benchmarks.{module}", *options]
        ended = subprocess.run(
            command, stdout=file, stderr=subprocess.PIPE, text=True, cwd=PROJECT, check=False
        )
        if ended.returncode:
            file.write(ended.stderr)
    minutes = (time.monotonic() - began) / 60
    outcome = "failed" if ended.returncode else "done"
    print(f"{name}: {outcome} after {minutes:.1f} min, see {path}", flush=True)
    return ended.returncode == 0


def main() -> None:
    """Run those that were named, or all, and exit with 1 if any failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(RUNS)} (default: all)")
    parser.add_argument("--photos", type=Path, help="a folder of real photos with manifest.csv")
    options = parser.parse_args()
    if unknown := {*options.names} - {*RUNS}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    folder = PROJECT / "var" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    is_whole = True
    for name in options.names or RUNS:
        arguments = list(RUNS[name])
        if "PHOTOS" in arguments:
            if options.photos is None:
                print(f"{name}: left out, as it needs --photos")
                continue
            arguments[arguments.index("PHOTOS")] = str(options.photos)
        is_whole &= run(name, arguments, folder)
    sys.exit(0 if is_whole else 1)


if __name__ == "__main__":
    main()
