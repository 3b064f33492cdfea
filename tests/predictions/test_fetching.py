"""Hosts that misbehave, over real sockets on this machine."""

import time
import tracemalloc

import pytest

from predictions.fetching import USER_AGENT, fetch_photo
from tests.support.fetching import ANSWERS, AT_LEISURE_S, PHOTO, SLOW, refusal
from tests.support.photo_server import PhotoServer


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
