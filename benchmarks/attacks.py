"""Attacks a stack, and prints what others notice: logins, guesses, hostile files, floods.

    .venv/bin/python -m benchmarks.attacks
    .venv/bin/python -m benchmarks.attacks --base http://127.0.0.1:8000/api/v1 --home var files

It starts its own stack; with `--base` and `--home` it attacks one that runs, whose
CHAMPIPY_FETCH_ALLOW must name 127.0.0.1:8099 for `floods`. `benchmarks.slow_clients` is its sister.
"""

import argparse
import http.client
import io
import json
import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import requests
from PIL import Image

from benchmarks.service import ALICE, BOB, Client, new_photo, stack
from tests.support.hostile_files import hostile_files
from tests.support.photo_server import PhotoServer

CLEMENTINE = ("clementine", "mandarine")
PHOTO_PORT = 8099
MAX_BODY = 10_000_000


def timed(call: Callable[[], object]) -> float:
    """Return how many seconds a call took."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def in_words(times: list[float]) -> str:
    """Return the median and the longest of some times in seconds."""
    return f"median {1000 * statistics.median(times):.0f} ms, longest {max(times):.2f} s"


def statuses(answers: list[requests.Response]) -> str:
    """Return how many answers there were of each status and code."""
    keys = Counter(
        (each.status_code, each.json()["errors"][0]["code"] if each.status_code >= 400 else "")
        for each in answers
    )
    return ", ".join(
        f"{count} x {status} {code}".rstrip() for (status, code), count in keys.items()
    )


@contextmanager
def others(base: str) -> Iterator[list[float]]:
    """Ask for the status and for a user's predictions all the while; yield the list of times."""
    times: list[float] = []
    ends = threading.Event()
    bob = Client(base, BOB)

    def ask(path: str) -> None:
        session = requests.Session()
        session.headers.update(bob.session.headers)
        while not ends.wait(0.05):
            began = time.perf_counter()
            session.get(f"{base}{path}", timeout=60).raise_for_status()
            times.append(time.perf_counter() - began)

    threads = [threading.Thread(target=ask, args=(path,)) for path in ("/status", "/predictions")]
    for thread in threads:
        thread.start()
    try:
        yield times
    finally:
        ends.set()
        for thread in threads:
            thread.join()


@contextmanager
def peak_memory(home: Path) -> Iterator[list[float]]:
    """Yield a list that afterwards has the largest resident size of web, in MB."""
    web = psutil.Process(json.loads((home / "stack.json").read_text())["processes"]["web"]["pid"])
    peak = [0.0]
    ends = threading.Event()

    def look() -> None:
        while not ends.wait(0.01):
            peak[0] = max(peak[0], web.memory_info().rss / 1e6)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        ends.set()
        thread.join()


def log_in(base: str, user: tuple[str, str]) -> requests.Response:
    """Ask for a token, and return the answer."""
    form = dict(zip(("username", "password"), user, strict=True))
    return requests.post(f"{base}/token", json=form, timeout=60)


def logins(base: str, home: Path) -> None:
    """64 right logins at once, while others ask."""
    with others(base) as times, peak_memory(home) as peak, ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: log_in(base, ALICE), range(64)))
    busy = [each for each in answers if each.status_code == 503]
    assert all(each.headers.get("Retry-After") for each in busy)
    print(f"64 logins at once: {statuses(answers)}; web {peak[0]:.0f} MB; others {in_words(times)}")


def guesses(base: str, home: Path) -> None:
    """60 wrong passwords at once, then the right one."""
    time.sleep(61)  # the rate limit of an address is a minute's
    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(lambda n: log_in(base, ("admin", f"x{n}")), range(60)))
    print(f"60 guesses at once: {statuses(answers)}; then the right password:", end=" ")
    print(statuses([log_in(base, ("admin", "admin"))]))


def files(base: str, home: Path) -> None:
    """Upload every hostile file, then photos; then a photo after one of 25 megapixels."""
    alice = Client(base)
    alice.predict(new_photo())
    wrong = []
    hostile = hostile_files()
    with others(base) as times:
        for name, data, code in hostile:
            answer = alice.post(data)
            got = answer.json()["errors"][0]["code"] if answer.status_code >= 400 else "none"
            if got != code or not 400 <= answer.status_code < 500:
                wrong.append(f"{name}: {answer.status_code} {got}")
    print(f"{len(hostile)} hostile files, answered otherwise: {wrong}; others {in_words(times)}")
    plain = [timed(lambda: alice.predict(new_photo())) for _ in range(5)]
    after = []
    for number in range(5):
        large = io.BytesIO()
        Image.new("RGB", (5000, 5000), (number, 90, 30)).save(large, "PNG")
        alice.predict(large.getvalue())
        after.append(timed(lambda: alice.predict(new_photo())))
    print(f"a photo {in_words(plain)}; after 25 megapixels {in_words(after)}")


def bad_requests() -> Iterator[tuple[str, str, bytes, str]]:
    """Yield method, path, body and Content-Type of requests that no client should send."""
    many = "&".join(f"a{number}=1" for number in range(60))
    token, predictions = "/token", "/predictions"
    for path in ("/status", token, predictions, "/nonsense"):
        for method in ("GET", "POST", "HEAD", "PUT"):
            yield method, f"{path}?{many}", b"", ""
    for name in ("rot13", "zlib", "idna", "punycode", "undefined", "nonsense", "x" * 999):
        yield "POST", token, b"{}", f"text/plain; charset={name}"
        yield "GET", "/status?x=%ff", b"", f"text/plain; charset={name}"
    yield "POST", token, b"{}", "application/json; charset*=BLAH''x%ff"
    for body in (b"[" * 3000, b'{"a":' * 3000, b"\xff", json.dumps({"a": "x" * 10**6}).encode()):
        for path in (token, predictions):
            yield "POST", path, body, "application/json"
    form = "multipart/form-data; boundary=b"
    part = b"--b\r\nContent-Disposition: form-data; name=%b\r\n\r\n%b\r\n"
    photo = b'"file"; filename="a.jpg"'
    yield "POST", predictions, part % (b'"a"', b"1") * 60 + b"--b--", form
    yield "POST", predictions, part % (b'"file"', b"x" * 1_100_000) + b"--b--", form
    yield "POST", predictions, part % (photo, b"x") * 5 + b"--b--", form
    yield "POST", predictions, part % (photo, bytes(MAX_BODY + 1)) + b"--b--", form
    yield "POST", predictions, many.encode(), "application/x-www-form-urlencoded"
    for path in (
        "/status%0A",
        "/x%0Ay",
        f"{predictions}?page=%00",
        f"{predictions}?page=" + "9" * 5000,
    ):
        yield "GET", path, b"", ""
    for name in ("split", "label_source", "q", "review", "species", "doubt", "p", "o", "_facets"):
        for value in ("%00", "%ff", "x" * 3000, "-1", "9" * 30):
            yield "GET", f"/admin/predictions/photo/?{name}={value}", b"", ""


def bad(base: str, home: Path) -> None:
    """Send all bad requests, as a user of the API and as bob in the admin."""
    url, alice = urlsplit(base), Client(base)
    cookie = admin_cookie(base)
    seen: Counter[int] = Counter()
    for method, path, body, content_type in bad_requests():
        is_admin = path.startswith("/admin/")
        headers = {"Cookie": cookie} if is_admin else dict(alice.session.headers)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
        headers |= {"Content-Type": content_type} if content_type else {}
        connection.request(method, path if is_admin else url.path + path, body, headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        seen[answer.status] += 1
        if answer.status >= 500:
            print(f"{answer.status}: {method} {path[:80]} {body[:40]!r} {content_type[:60]}")
    print(f"{seen.total()} bad requests: {dict(sorted(seen.items()))}")


def admin_cookie(base: str) -> str:
    """Log bob in to the admin; return the Cookie header of his session."""
    session = requests.Session()
    login = base.replace("/api/v1", "/admin/login/")
    session.get(login, timeout=60)
    form = {"username": BOB[0], "password": BOB[1], "next": "/admin/"}
    form["csrfmiddlewaretoken"] = session.cookies["csrftoken"]
    session.post(login, data=form, headers={"Referer": login}, timeout=60, allow_redirects=False)
    return f"sessionid={session.cookies['sessionid']}"


def floods(base: str, home: Path) -> None:
    """Flood as alice by silent URLs, by uploads and by waiting requests; time clementine's."""
    clementine = Client(base, CLEMENTINE)
    photos = {f"{number}.jpg": new_photo() for number in range(40)}
    numbers = iter(range(40))
    with PhotoServer(files=photos, port=PHOTO_PORT) as server:

        def ask(client: Client, url: str, prefer: str) -> requests.Response:
            return client.session.post(
                f"{base}/predictions", json={"file": url}, headers={"Prefer": prefer}, timeout=90
            )

        def measure(what: str) -> None:
            uploads = [timed(lambda: clementine.predict(new_photo())) for _ in range(8)]
            urls = []
            for _ in range(8):
                began = time.perf_counter()
                answer = ask(clementine, server.url(f"{next(numbers)}.jpg"), "wait=30")
                assert answer.status_code == 200, answer.text
                urls.append(time.perf_counter() - began)
            print(f"{what}: an upload {in_words(uploads)}; a URL {in_words(urls)}", flush=True)

        measure("nobody else")
        alice = Client(base)
        for number in range(200):
            ask(alice, server.url(f"hang?{number}"), "respond-async")
        measure("200 URLs of a silent host")
        with ThreadPoolExecutor(80) as pool:
            waiting = [
                pool.submit(ask, alice, server.url(f"hang?w{n}"), "wait=30") for n in range(80)
            ]
            time.sleep(1)
            measure("80 requests with wait=30")
            [each.result() for each in waiting]
        ends = threading.Event()

        def flood() -> None:
            session = requests.Session()
            session.headers.update(alice.session.headers)
            while not ends.is_set():
                session.post(
                    f"{base}/predictions",
                    files={"file": ("a.jpg", new_photo())},
                    headers={"Prefer": "respond-async"},
                    timeout=60,
                )

        threads = [threading.Thread(target=flood) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(15)
        measure("a flood of uploads by four clients")
        ends.set()
        for thread in threads:
            thread.join()


ATTACKS = {each.__name__: each for each in (logins, guesses, files, bad, floods)}


def main() -> None:
    """Start a stack, unless one is given, and attack it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attacks", nargs="*", help=f"of {', '.join(ATTACKS)} (default: all)")
    parser.add_argument("--base", help="such as http://127.0.0.1:8000/api/v1")
    parser.add_argument("--home", type=Path, help="of that stack")
    parser.add_argument("--port", type=int, default=8767)
    options = parser.parse_args()
    chosen = [ATTACKS[name] for name in options.attacks or ATTACKS]
    if options.base:
        for attack in chosen:
            attack(options.base, options.home)
        return
    os.environ["CHAMPIPY_FETCH_ALLOW"] = f"127.0.0.1:{PHOTO_PORT}"
    with stack(options.port) as (base, home):
        for attack in chosen:
            attack(base, home)


if __name__ == "__main__":
    main()
