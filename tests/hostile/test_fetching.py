"""Hosts that misbehave, over real sockets on this machine."""

import re
import time
import tracemalloc

import pytest

from predictions.fetching import USER_AGENT, FetchError, fetch_photo
from tests.hostile.files import photo_bytes
from tests.photo_server import PhotoServer

PHOTO = photo_bytes()
AT_LEISURE_S = 4.0  # how late a deadline of half a second may be on a busy machine

ANSWERS = [
    ("missing.jpg", "image_not_found"),
    ("status/404", "image_not_found"),
    ("status/410", "image_not_found"),
    *((f"status/{status}", "image_unreachable") for status in (201, 204, 206, 302, 304)),
    *((f"status/{status}", "image_unreachable") for status in (400, 401, 403, 429, 500, 503)),
    ("redirect-loop", "image_unreachable"),
    ("redirect/4/a.jpg", "image_unreachable"),
    ("redirect-to?url=http://169.254.169.254/latest/", "url_forbidden"),
    ("redirect-to?url=http://127.0.0.1:1/", "url_forbidden"),
    ("redirect-to?url=//[::1]/", "url_forbidden"),
    ("redirect-to?url=http://8.8.8.8:8080/", "url_forbidden"),
    ("redirect-to?url=file:///etc/passwd", "url_forbidden"),
    ("redirect-to?url=http://user@example.org/", "url_forbidden"),
    ("redirect-to?url=http://%32130706433/", "url_forbidden"),
    ("lying-length/a.jpg", "image_unreachable"),
    ("huge-length", "image_too_large"),
    ("no-length", "image_too_large"),
    ("chunks", "image_too_large"),
    ("long-chunk-size", "image_unreachable"),
    ("headers", "image_unreachable"),
    ("long-header", "image_unreachable"),
    ("continues", "image_too_large"),
    ("gzip-bomb", "image_too_large"),
    ("gzip-garbage", "image_unreachable"),
    ("brotli", "image_unreachable"),
    ("reset", "image_unreachable"),
    ("garbage", "image_unreachable"),
    ("big.jpg", "image_too_large"),
]
SLOW = ["drip/a.jpg", "drip-chunks/a.jpg", "drip-headers", "hang", "redirect/3/drip/a.jpg"]


@pytest.fixture(scope="module")
def server():
    files = {"a.jpg": PHOTO, "big.jpg": bytes(10_000_001), "full.jpg": bytes(10_000_000)}
    with PhotoServer(files=files, drip_s=0.1) as running:
        yield running


@pytest.fixture
def fetch(server):
    def fetch(path, **options):
        return fetch_photo(server.url(path), allow=frozenset({server.address}), **options)

    return fetch


def refusal(fetch, *args, **options) -> str:
    """Return the code with which fetching fails, having looked at what the user is told."""
    with pytest.raises(FetchError) as error:
        fetch(*args, **options)
    assert not re.search(r"\d+\.\d+\.\d+|::", error.value.detail)
    return error.value.code


@pytest.mark.parametrize(("path", "code"), ANSWERS, ids=[path for path, _ in ANSWERS])
def test_bad_answer_ends_with_its_code(fetch, path, code):
    assert refusal(fetch, path) == code


@pytest.mark.parametrize("path", SLOW)
def test_slow_host_is_cut_off_at_the_deadline(fetch, path):
    started = time.monotonic()
    assert refusal(fetch, path, deadline_s=0.5) == "image_timeout"
    assert 0.5 <= time.monotonic() - started < AT_LEISURE_S


@pytest.mark.parametrize(
    "path", ["a.jpg", "redirect/1/a.jpg", "redirect/3/a.jpg", "gzip/a.jpg", "as-text/a.jpg"]
)
def test_photo_arrives_as_it_is(fetch, path):
    assert fetch(path) == PHOTO


def test_the_limit_itself_is_allowed(fetch):
    assert fetch("full.jpg") == bytes(10_000_000)
    assert fetch("a.jpg", max_bytes=len(PHOTO)) == PHOTO
    assert refusal(fetch, "a.jpg", max_bytes=len(PHOTO) - 1) == "image_too_large"


def test_page_called_image_is_left_to_the_decoder(fetch):
    assert fetch("page.html").startswith(b"<!doctype html>")


def test_gzip_bomb_takes_little_memory(fetch):
    refusal(fetch, "gzip-bomb")  # makes the bomb
    tracemalloc.start()
    try:
        assert refusal(fetch, "gzip-bomb") == "image_too_large"
        assert tracemalloc.get_traced_memory()[1] < 25_000_000
    finally:
        tracemalloc.stop()


def test_request_says_who_asks_and_nothing_more(fetch, server, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login bob password builder")
    monkeypatch.setenv("NETRC", str(netrc))
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert fetch("a.jpg") == PHOTO
    assert server.headers == {
        "Host": server.address,
        "User-Agent": USER_AGENT,
        "Accept": "image/*",
        "Accept-Encoding": "identity",
    }


def test_private_address_is_not_asked_unless_allowed(server):
    before = server.requests.total()
    assert refusal(fetch_photo, server.url("a.jpg")) == "url_forbidden"
    other = frozenset({"127.0.0.1:80", f"localhost:{server.address.split(':')[1]}"})
    assert refusal(fetch_photo, server.url("a.jpg"), allow=other) == "url_forbidden"
    assert server.requests.total() == before


def test_nothing_listens(server):
    address = "127.0.0.1:1"
    allow = frozenset({address})
    assert refusal(fetch_photo, f"http://{address}/", allow=allow) == "image_unreachable"


def test_tls_with_a_host_that_speaks_none(server):
    url = f"https://{server.address}/a.jpg"
    code = refusal(fetch_photo, url, allow=frozenset({server.address}), deadline_s=2)
    assert code == "image_unreachable"
