"""What people paste for an observation, the addresses of pages, and licences."""

import pytest

from observations.mushroom_observer.answers import Image, read_image
from observations.mushroom_observer.errors import BadReferenceError
from observations.mushroom_observer.references import (
    image_page_url,
    image_url,
    naming_form_url,
    observation_id,
    suggestions_url,
)

MO = "https://mushroomobserver.org"


@pytest.mark.parametrize(
    "text",
    [
        *(
            123,
            "123",
            " 123 ",
            "#123",
            "/123",
            "/obs/123",
            "/observations/123",
            "/observations/123/",
        ),
        *(f"{MO}/123", f"{MO}/obs/123", f"{MO}/observations/123?q=1Abc#comments"),
        *("http://www.mushroomobserver.org/observations/123", "mushroomobserver.org/obs/123"),
        *("HTTPS://MUSHROOMOBSERVER.ORG/obs/123", "/observations/123#naming", "/123?flow=next"),
    ],
)
def test_an_observation_is_recognised(text) -> None:
    assert observation_id(text) == 123


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "-1", "1.5", "abc", "1" * 13, "/images/123", "/observations/", "/names/123"),
        *(f"{MO}/images/640/123.jpg", f"{MO}:8080/123", f"{MO}.example.org/123"),
        *("https://example.org/observations/123", "//example.org/123", "javascript:123"),
        *("https://user@mushroomobserver.org/123", "123 456", "/obs/123/456", "٣", "/obs/12a"),
        *("https://example.org/?https://mushroomobserver.org/123", "http://[::1]/123"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(text) -> None:
    with pytest.raises(BadReferenceError, match="Give its number, or its address: https://mush"):
        observation_id(text)


def test_the_configured_site_is_the_only_one(settings) -> None:
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = "http://127.0.0.1:8077"
    assert observation_id("http://127.0.0.1:8077/observations/123?a=b") == 123
    assert observation_id("127.0.0.1:8077/obs/123") == 123
    for text in (f"{MO}/123", "http://127.0.0.1/123", "http://127.0.0.1:8078/123"):
        with pytest.raises(BadReferenceError, match=r"http://127\.0\.0\.1:8077/observations/"):
            observation_id(text)


def test_addresses_of_pages() -> None:
    assert naming_form_url(7, "Trametes versicolor") == (
        f"{MO}/observations/7/namings/new?naming=Trametes+versicolor"
    )
    assert suggestions_url(7, [[("A b", 81.234)], []]) == (
        f"{MO}/observations/7/suggestions?names=%5B%5B%5B%22A%20b%22%2C81.23%5D%5D%2C%5B%5D%5D"
    )
    assert image_url(9, 640) == f"{MO}/images/640/9.jpg"
    assert image_page_url(9) == f"{MO}/images/9"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("Creative Commons Wikipedia Compatible v3.0", "licenses/by-sa/3.0/"),
        ("Creative Commons Non-commercial v3.0", "licenses/by-nc-sa/3.0/"),
        ("CC BY-NC-SA 4.0", "licenses/by-nc-sa/4.0/"),
        ("http://creativecommons.org/licenses/by-sa/3.0/", "licenses/by-sa/3.0/"),
        ("public domain", "publicdomain/mark/1.0/"),
        ("", None),
        ("Ask Grandmother First v1", None),
        ("All Rights Reserved", None),
        ("http://creativecommons.org.example.org/licenses/by/4.0/", None),
        ("x" * 5000, None),
    ],
)
def test_an_image_is_usable_only_under_a_licence_that_is_known(text, path) -> None:
    image = read_image({"id": 7, "license": text, "ok_for_export": True})
    assert image.licence_url == (f"https://creativecommons.org/{path}" if path else "")
    assert image.is_usable is (path is not None)


def test_an_image_is_usable_only_if_it_says_that_it_may_be_exported() -> None:
    good = {"id": "7", "date": "2019-05-04", "copyright_holder": "Jane Doe", "license": "CC BY 4.0"}
    image = read_image(good | {"ok_for_export": True})
    assert image.is_usable
    assert image.attribution == "© 2019 Jane Doe"
    for value in (False, None, "no", 0):
        assert not read_image(good | {"ok_for_export": value}).is_usable
    assert not read_image(good).is_usable
    assert Image(7).attribution == "© ?"
