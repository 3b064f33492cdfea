"""Fetching from hosts that misbehave, over real sockets on this machine."""

import time
import tracemalloc

import pytest
from django.conf import settings

from predictions.fetching import fetch_photo
from tests.support.fetching import BAD_RESPONSES, MAX_DELAY_S, PHOTO, SLOW_PATHS, refusal
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


@pytest.mark.parametrize(("path", "code"), BAD_RESPONSES, ids=[path for path, _ in BAD_RESPONSES])
def test_bad_response_gives_its_error_code(fetch, path, code):
    assert refusal(fetch, path) == code


@pytest.mark.parametrize("path", SLOW_PATHS)
def test_slow_host_is_cut_off_at_the_deadline(fetch, path):
    started = time.monotonic()
    assert refusal(fetch, path, deadline_s=0.5) == "image_timeout"
    assert 0.5 <= time.monotonic() - started < MAX_DELAY_S


@pytest.mark.parametrize(
    "path", ["a.jpg", "redirect/1/a.jpg", "redirect/3/a.jpg", "gzip/a.jpg", "as-text/a.jpg"]
)
def test_photo_arrives_unchanged(fetch, path):
    assert fetch(path) == PHOTO


def test_a_photo_of_exactly_the_size_limit_is_allowed(fetch):
    assert fetch("full.jpg") == bytes(10_000_000)
    assert fetch("a.jpg", max_bytes=len(PHOTO)) == PHOTO
    assert refusal(fetch, "a.jpg", max_bytes=len(PHOTO) - 1) == "image_too_large"


def test_html_page_sent_as_an_image_is_returned_unchecked(fetch):
    assert fetch("page.html").startswith(b"<!doctype html>")


def test_gzip_bomb_takes_little_memory(fetch):
    refusal(fetch, "gzip-bomb")  # makes and caches the bomb
    tracemalloc.start()
    try:
        assert refusal(fetch, "gzip-bomb") == "image_too_large"
        assert tracemalloc.get_traced_memory()[1] < 25_000_000
    finally:
        tracemalloc.stop()


def test_request_sends_the_user_agent_and_no_secrets(fetch, server, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login bob password builder")
    monkeypatch.setenv("NETRC", str(netrc))
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert fetch("a.jpg") == PHOTO
    assert server.headers == {
        "Host": server.address,
        "User-Agent": settings.CHAMPIPY_USER_AGENT,
        "Accept": "image/*",
        "Accept-Encoding": "identity",
    }


def test_private_address_gets_no_request_unless_allowed(server):
    before = server.requests.total()
    assert refusal(fetch_photo, server.url("a.jpg")) == "url_forbidden"
    other = frozenset({"127.0.0.1:80", f"localhost:{server.address.split(':')[1]}"})
    assert refusal(fetch_photo, server.url("a.jpg"), allow=other) == "url_forbidden"
    assert server.requests.total() == before


def test_closed_port_is_unreachable(server):
    address = "127.0.0.1:1"
    allow = frozenset({address})
    assert refusal(fetch_photo, f"http://{address}/", allow=allow) == "image_unreachable"


def test_https_to_a_host_without_tls_is_unreachable(server):
    url = f"https://{server.address}/a.jpg"
    code = refusal(fetch_photo, url, allow=frozenset({server.address}), deadline_s=2)
    assert code == "image_unreachable"
