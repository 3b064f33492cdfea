"""Hostile URLs and files sent to the API: each is refused with its code and leaves nothing."""

import pytest
from rest_framework.test import APIClient

from predictions.models import Photo, Prediction
from tests.support.api import assert_nothing_left, error_of, post_photo, post_url
from tests.support.hostile_files import hostile_files
from tests.support.hostile_urls import HOSTILE_URLS
from tests.support.photos import drawn_photo

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("workers", "production"),
]


def test_hostile_urls_are_refused_and_the_service_goes_on(alice: APIClient) -> None:
    assert len(HOSTILE_URLS) >= 60
    # The API strips spaces around a URL, and refuses an empty one with a 400.
    expected = {url: code for url, code in HOSTILE_URLS if url and url == url.strip()}
    answers = {url: error_of(post_url(alice, url)) for url in expected}
    assert {url: code for url, (_, code) in answers.items()} == expected
    assert Prediction.objects.filter(status="failed").count() == len(answers)
    assert_nothing_left()
    assert post_photo(alice, drawn_photo(30)).status_code == 200


def test_hostile_files_are_refused_and_the_service_goes_on(alice: APIClient) -> None:
    files = hostile_files()
    assert len(files) >= 30
    for name, data, code in files:
        response = post_photo(alice, data)
        assert error_of(response)[1] == code, name
        assert "Traceback" not in response.content.decode()
    assert Photo.objects.count() == 0
    assert_nothing_left()
    assert post_photo(alice, drawn_photo(31)).status_code == 200
