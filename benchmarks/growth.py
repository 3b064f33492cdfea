"""Times every page and endpoint in a small database and in a large one, side by side.

    .venv/bin/python -m benchmarks.growth
    .venv/bin/python -m benchmarks.growth --homes /some/folder   # keeps the data for another run

It starts two stacks, fills their databases by `growth.sql`, and prints the medians: with 1,000
predictions, photos and answers of evaluations, and with 10 million, 1 million and 100,000. The
requests take turns, so that both have the same share of the machine. Photos have rows, but no
files.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import requests

from benchmarks.service import ALICE, BOB, PROJECT, Client, new_photo
from tests.support.growing_paths import (
    OF_ADMINISTRATORS,
    OF_USERS,
    OF_VERIFIERS,
    PAGES_OF_ADMINISTRATORS,
    filled,
)

FILL = Path(__file__).with_name("growth.sql")
SMALL = {"predictions": 1_000, "photos": 1_000, "answers": 1_000}
LARGE = {"predictions": 10_000_000, "photos": 1_000_000, "answers": 100_000}
OWN_TABLES = "^(predictions|observations|supervision)_"
SECONDARY = """
SELECT pg_get_indexdef(indexrelid), format('DROP INDEX %%s', indexrelid::regclass)
FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
WHERE relnamespace = 'public'::regnamespace AND NOT indisunique AND relname ~ %s
UNION ALL
SELECT format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname,
              pg_get_constraintdef(oid)),
    format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname)
FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text ~ %s
"""
"""How to make each secondary index and foreign key again, and how to drop it."""
KEPT = {"CHAMPIPY_KEEP_PREDICTIONS_DAYS": "358", "CHAMPIPY_KEEP_PHOTOS_DAYS": "358"}
"""A year is filled in: the predictions and photos of a week are too old then."""
NOTED = 1.5
"""Milliseconds that medians of the same request differ by on a machine with other work."""


@dataclass(frozen=True)
class Site:
    """A running stack, and its three users' sessions."""

    address: str
    home: Path

    def connection(self) -> Any:
        url = json.loads((self.home / "stack.json").read_text())["environment"]["DATABASE_URL"]
        connection = psycopg2.connect(url)
        connection.autocommit = True
        return connection


@contextmanager
def running(home: Path, port: int) -> Iterator[Site]:
    """Start ChampiPy with this home, then stop it and keep the home."""
    environment = os.environ | {"CHAMPIPY_HOME": str(home)}
    script = str(PROJECT / "champipy")
    subprocess.run(
        [script, "up", "--detach", "--port", str(port)],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield Site(f"http://127.0.0.1:{port}", home)
    finally:
        subprocess.run([script, "down"], env=environment, check=True)


def set_sizes(cursor: Any, **sizes: int) -> None:
    """Say how many rows `growth.sql` writes."""
    for name, size in sizes.items():
        cursor.execute("SELECT set_config(%s, %s, false)", [f"growth.{name}", str(size)])


def fill(site: Site, sizes: dict[str, int]) -> None:
    """Write the rows, unless they are there already.

    Secondary indexes and foreign keys are made again at the end: that is several times as quick.
    """
    connection = site.connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM predictions_photo")
        if cursor.fetchone()[0] >= sizes["photos"]:
            return
        began = time.monotonic()
        cursor.execute(SECONDARY, [OWN_TABLES, OWN_TABLES])
        secondary = sorted(cursor.fetchall(), reverse=True)  # indexes, then keys
        cursor.execute("BEGIN")
        cursor.execute("SET LOCAL maintenance_work_mem = '1GB'; SET LOCAL work_mem = '256MB'")
        for _, drop in secondary:
            cursor.execute(drop)
        set_sizes(cursor, **sizes)
        cursor.execute(FILL.read_text())
        for make, _ in secondary:
            cursor.execute(make)
        cursor.execute("COMMIT")
        cursor.execute("VACUUM ANALYZE")
        print(f"{sizes} filled in {time.monotonic() - began:.0f} s", flush=True)
    connection.close()


def summarise(site: Site) -> None:
    """Bring the summaries up to date, as the minutes after such a filling do."""
    code = (
        "from supervision.monitoring.summaries import disagreements_note, summaries_update\n"
        "summaries_update()\n"
        "while disagreements_note():\n"
        "    pass\n"
    )
    began = time.monotonic()
    subprocess.run(
        [str(PROJECT / "champipy"), "shell", "--verbosity", "0", "-c", code],
        env=os.environ | {"CHAMPIPY_HOME": str(site.home)},
        check=True,
    )
    print(f"summaries made in {time.monotonic() - began:.0f} s", flush=True)


def browser(site: Site, user: tuple[str, str]) -> requests.Session:
    """Return a browser's session in which a user is logged in."""
    session = requests.Session()
    login = f"{site.address}/login"
    found = re.search(
        r'name="csrfmiddlewaretoken" value="(\w+)"', session.get(login, timeout=60).text
    )
    assert found is not None
    form = dict(zip(("username", "password"), user, strict=True))
    session.post(
        login,
        data={**form, "csrfmiddlewaretoken": found[1]},
        headers={"Referer": login},
        timeout=60,
    ).raise_for_status()
    return session


def requests_of(site: Site) -> dict[str, Callable[[], requests.Response]]:
    """Return all requests by their names, in which ids are left out."""
    connection = site.connection()
    cursor = connection.cursor()

    def value_of(query: str) -> Any:
        cursor.execute(query)
        return cursor.fetchone()[0]

    api = f"{site.address}/api/v1"
    alice, bob = Client(api, ALICE), Client(api, BOB)
    made: dict[str, Callable[[], requests.Response]] = {}
    for who, session, paths in (
        ("alice", browser(site, ALICE), OF_VERIFIERS),
        ("alice", alice.session, OF_USERS),
        ("bob", bob.session, (*OF_USERS, *OF_ADMINISTRATORS)),
        ("bob", browser(site, BOB), PAGES_OF_ADMINISTRATORS),
    ):
        for path, address in zip(paths, filled(paths, value_of), strict=True):
            url = site.address + address
            made[f"{who} `{path}`"] = partial(session.get, url, timeout=300)
    connection.close()
    known = new_photo()
    alice.predict(known)
    made["alice `POST /api/v1/predictions`, a known photo"] = partial(alice.post, known)
    made["alice `POST /api/v1/predictions`, a new photo"] = lambda: alice.post(new_photo())
    return made


def time_once(request: Callable[[], requests.Response]) -> float:
    """Return the milliseconds that a request took. Raises RuntimeError if it was refused."""
    began = time.perf_counter()
    response = request()
    took = 1000 * (time.perf_counter() - began)
    if response.status_code not in (200, 409):  # 409: too few photos for a training
        raise RuntimeError(f"{response.url} answered {response.status_code}")
    return took


def measure(small: Site, large: Site, repeats: int) -> None:
    """Print a row for each request: the medians of both, and their ratio."""
    of_small, of_large = requests_of(small), requests_of(large)
    print("| request | ms, small | ms, large | ratio |\n|---|---|---|---|")
    above = 0
    for name, request in of_small.items():
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(repeats + 1):
            for kept, each in zip(times, (request, of_large[name]), strict=True):
                took = time_once(each)
                if turn:  # the first one fills caches
                    kept.append(took)
        before, after = map(statistics.median, times)
        is_above = after > 2 * before + NOTED
        above += is_above
        ratio = f"**{after / before:.1f}**" if is_above else f"{after / before:.1f}"
        print(f"| {name} | {before:.1f} | {after:.1f} | {ratio} |", flush=True)
    print(f"{above} of {len(of_small)} requests take more than twice as long")


def migrate_under_load(site: Site) -> None:
    """Take an index back and build it again while predictions are asked for; print both times."""
    alice = Client(f"{site.address}/api/v1", ALICE)
    known, times, stop = new_photo(), [], threading.Event()
    alice.predict(known)

    def ask() -> None:
        while not stop.is_set():
            times.append(time_once(partial(alice.post, known)))

    asking = threading.Thread(target=ask)
    asking.start()
    took = []
    try:
        for target in ("0022", "0023"):
            began = time.monotonic()
            subprocess.run(
                [str(PROJECT / "champipy"), "migrate", "-v", "0", "predictions", target],
                env=os.environ | {"CHAMPIPY_HOME": str(site.home)},
                check=True,
            )
            took.append(time.monotonic() - began)
    finally:
        stop.set()
        asking.join()
    print(
        f"predictions 0023 taken back in {took[0]:.0f} s and made again in {took[1]:.0f} s; "
        f"meanwhile {len(times)} predictions: median {statistics.median(times):.1f} ms, "
        f"the longest {max(times):.0f} ms"
    )


def prune_old(site: Site) -> None:
    """Delete what KEPT makes too old, and print how much that was, and how long it took."""
    connection, took = site.connection(), []

    def rows() -> tuple[int, int]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT (SELECT count(*) FROM predictions_prediction), count(*) "
                "FROM predictions_photo WHERE file <> ''"
            )
            predictions, photos = cursor.fetchone()
        return predictions, photos

    predictions, photos = rows()
    for options in (["--dry-run"], []):
        began = time.monotonic()
        subprocess.run(
            [str(PROJECT / "champipy"), "prune", *options],
            env=os.environ | {"CHAMPIPY_HOME": str(site.home)} | KEPT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        took.append(time.monotonic() - began)
    predictions_left, photos_left = rows()
    connection.close()
    print(
        f"{predictions - predictions_left} predictions and {photos - photos_left} photos pruned "
        f"in {took[1]:.0f} s; --dry-run took {took[0]:.0f} s"
    )


def main() -> None:
    """Start two stacks, fill them, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--homes", type=Path, help="a folder that is kept (default: a new one)")
    parser.add_argument("--port", type=int, default=8767)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--predictions", type=int, default=LARGE["predictions"])
    options = parser.parse_args()
    factor = options.predictions / LARGE["predictions"]
    sizes = {name: round(size * factor) for name, size in LARGE.items()}
    with tempfile.TemporaryDirectory(prefix="champipy-growth-") as folder, ExitStack() as stack:
        Path(folder).chmod(0o711)
        homes = (options.homes or Path(folder)).resolve()
        small = stack.enter_context(running(homes / "small", options.port))
        large = stack.enter_context(running(homes / "large", options.port + 1))
        for site, rows in ((small, SMALL), (large, sizes)):
            fill(site, rows)
            summarise(site)
        measure(small, large, options.repeats)
        migrate_under_load(large)
        if options.homes is None:
            prune_old(large)


if __name__ == "__main__":
    main()
