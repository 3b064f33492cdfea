# ruff: noqa: RUF001 - some of these tests need look-alike characters
"""URLs that are refused without using the network, and the keys of those that are accepted."""

import random
import re

import pytest

from predictions import checks
from predictions.photo_urls import (
    FetchError,
    asks_mushroom_observer,
    canonical_photo_key,
    check_url,
    mushroom_observer_image_id,
    parse_url,
    smaller_original,
)
from tests.support.hostile_urls import HOSTILE_URLS

MO = "https://mushroomobserver.org/images"


@pytest.mark.parametrize(("url", "code"), HOSTILE_URLS, ids=lambda value: ascii(value)[:60])
def test_hostile_url_is_refused_without_a_lookup(url, code, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", _no_lookup)
    with pytest.raises(FetchError) as refusal:
        check_url(url)
    assert refusal.value.code == code
    assert not re.search(r"\d+\.\d+\.\d+|::", str(refusal.value))


def _no_lookup(*args, **kwargs):
    raise AssertionError("looked up a name")


@pytest.mark.parametrize(
    ("url", "fetched"),
    [
        ("https://mushroomobserver.org/obs/1", None),
        ("http://8.8.8.8/a.jpg", None),
        ("http://[2606:4700:4700::1111]/a.jpg", None),
        ("http://[2606:4700:4700:0:0:0:0:1111]:80/a", "http://[2606:4700:4700::1111]/a"),
        ("HTTPS://Photos.Example.ORG:443/A.jpg?B=c#d", "https://photos.example.org/A.jpg?B=c"),
        ("http://photos.example.org:443/a.jpg", None),
        ("http://photos.example.org", "http://photos.example.org/"),
        ("http://photos.example.org?a=b", "http://photos.example.org/?a=b"),
        ("http://photos.example.org./a.jpg", "http://photos.example.org/a.jpg"),
        ("http://a_b.example.org/a%20b.jpg", None),
        ("http://bücher.example.org/é.jpg", "http://xn--bcher-kva.example.org/%C3%A9.jpg"),
        ("http://photos.example.org/a@b:c.jpg", None),
    ],
)
def test_valid_url_is_accepted_and_normalised(url, fetched):
    check_url(url)
    assert canonical_photo_key(url) == parse_url(url).url == (fetched or url)


def test_allowed_address_allows_only_that_host_and_port():
    allow = frozenset({"127.0.0.1:8099", "[::1]:80", "photos:8000"})
    for url in ("http://127.0.0.1:8099/a", "http://[::1]/a", "http://PHOTOS:8000/a"):
        check_url(url, allow=allow)
    for url in ("http://127.0.0.1:8098/a", "http://127.0.0.2:8099/a", "http://127.1:8099/a"):
        with pytest.raises(FetchError):
            check_url(url, allow=allow)


@pytest.mark.parametrize(
    "url",
    [
        *(f"{MO}/{size}/1520.jpg" for size in ("thumb", 320, 640, 960, 1280, "orig")),
        "https://images.mushroomobserver.org/640/1520.jpg",
        "http://www.mushroomobserver.org/images/320/1520.jpg?1690000000",
        "HTTP://MUSHROOMOBSERVER.ORG/images/320/1520.JPG#top",
        "https://mushroomobserver.org:443/images//orig/1520.png",
        "https://mushroomobserver.org/images/%6frig/1520.jpg",
    ],
)
def test_all_urls_of_a_mushroom_observer_image_have_one_key(url):
    assert mushroom_observer_image_id(url) == 1520
    assert canonical_photo_key(url) == "mushroomobserver:1520"
    assert "orig" not in smaller_original(parse_url(url)).url


@pytest.mark.parametrize(
    "url",
    [
        "https://mushroomobserver.org/320/1520.jpg",
        "https://images.mushroomobserver.org/images/320/1520.jpg",
        "https://mushroomobserver.org/images/500/1520.jpg",
        "https://mushroomobserver.org/images/320/1520.jpg/2.jpg",
        "https://mushroomobserver.org/images/320/a1520.jpg",
        "https://mushroomobserver.org/obs/1520",
        "https://mushroomobserver.org.example.org/images/320/1520.jpg",
        "https://notmushroomobserver.org/images/320/1520.jpg",
        "https://mushroomobserver.org:8080/images/320/1520.jpg",
        "https://example.org/?https://mushroomobserver.org/images/320/1520.jpg",
        "https://user@mushroomobserver.org/images/320/1520.jpg",
        "not a url",
    ],
)
def test_other_urls_are_not_mushroom_observer_images(url):
    assert mushroom_observer_image_id(url) is None


def test_mushroom_observer_original_is_replaced_by_the_1280_version():
    assert smaller_original(parse_url(f"{MO}/orig/1520.png?1")).url == f"{MO}/1280/1520.jpg"
    old = "https://images.mushroomobserver.org"
    assert smaller_original(parse_url(f"{old}/orig/7.jpg")).url == f"{old}/1280/7.jpg"
    assert smaller_original(parse_url(f"{MO}/640/7.jpg?8")).url == f"{MO}/640/7.jpg?8"


def test_any_text_is_accepted_or_raises_a_fetch_error():
    rng = random.Random(11)
    parts = [
        "http",
        "s",
        "://",
        "/",
        "@",
        ":",
        "[",
        "]",
        "%",
        "\\",
        "?",
        "#",
        ".",
        "127",
        "0x",
        "é",
    ]
    parts += [
        "xn--",
        "８",
        "。",
        "\u200d",
        "\ud800",
        "\x00",
        "-",
        "ß",
        "a" * 70,
        "::",
        "١",
        "\u0301",
    ]
    for _ in range(20_000):
        url = "http://" * rng.randint(0, 1) + "".join(rng.choices(parts, k=6))
        try:
            check_url(url)
        except FetchError as error:
            assert error.code == "url_forbidden"


def test_a_url_is_parsed_once():
    url = "https://example.org/parsed-once.jpg"
    parsed = parse_url(url)
    check_url(url)
    assert canonical_photo_key(url) == url
    assert parse_url(url) is parsed


def test_images_of_the_configured_site_are_recognised_and_those_of_the_usual_one_not(settings):
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = "http://127.0.0.1:8077"
    assert mushroom_observer_image_id("http://127.0.0.1:8077/images/640/7.jpg?1") == 7
    assert canonical_photo_key("http://127.0.0.1:8077/images/320/7.jpg") == "mushroomobserver:7"
    for url in ("http://127.0.0.1:8078/images/640/7.jpg", "http://127.0.0.1/images/640/7.jpg"):
        assert mushroom_observer_image_id(url) is None
    assert canonical_photo_key(f"{MO}/640/7.jpg") == f"{MO}/640/7.jpg"
    assert smaller_original(parse_url("http://127.0.0.1:8077/images/orig/7.jpg")).path == (
        "/images/1280/7.jpg"
    )
    assert smaller_original(parse_url(f"{MO}/orig/1520.png")).url == f"{MO}/1280/1520.jpg"


def test_requests_to_either_site_are_known_whatever_their_path(settings):
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = "http://127.0.0.1:8077"
    for url in ("http://127.0.0.1:8077/", f"{MO}/1.jpg", "https://images.mushroomobserver.org/"):
        assert asks_mushroom_observer(parse_url(url))
    for url in ("http://127.0.0.1:8078/", "https://mushroomobserver.org:8080/"):
        assert not asks_mushroom_observer(parse_url(url))
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = "nonsense"
    assert asks_mushroom_observer(parse_url(f"{MO}/1.jpg"))
    assert mushroom_observer_image_id(f"{MO}/640/1520.jpg") is None


@pytest.mark.parametrize(
    ("url", "allow", "hint"),
    [
        ("mushroomobserver.org", "", "scheme and a host"),
        ("", "", "scheme and a host"),
        ("ftp://mushroomobserver.org", "", "scheme and a host"),
        ("https://mushroomobserver.org/api2", "", "scheme and a host"),
        ("https://mushroomobserver.org?a=b", "", "scheme and a host"),
        ("https://mushroomobserver.org#a", "", "scheme and a host"),
        ("http://127.0.0.1:8077", "", "add 127.0.0.1:8077 to CHAMPIPY_FETCH_ALLOW"),
        ("http://127.0.0.1:8077", "127.0.0.1:8077", None),
        ("https://mushroomobserver.org", "", None),
        ("https://mushroomobserver.org/", "", None),
    ],
)
def test_a_wrong_address_of_the_site_is_said_at_start(url, allow, hint, settings):
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = url
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({allow})
    errors = checks.mushroom_observer_url(None)
    assert [error.id for error in errors] == ([] if hint is None else ["champipy.E003"])
    assert all(str(hint) in str(error.hint) for error in errors)


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        ("", True),
        ("mail@example.org", True),
        ("https://example.org/a?b=c", True),
        ("a\r\nX-Injected: 1", False),
        ("Käthe", False),
        ("a) (b", False),
        ("a" * 201, False),
    ],
)
def test_a_contact_that_no_header_can_carry_is_said_at_start(text, is_good, settings):
    settings.CHAMPIPY_CONTACT = text
    assert bool(checks.contact(None)) is not is_good
