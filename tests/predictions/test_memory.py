"""The memory of the real inference worker."""

import psutil
import pytest
from celery import current_app
from rest_framework.test import APIClient

from tests.support.api import error_of, post_photo
from tests.support.hostile_files import expensive_files
from tests.support.photos import drawn_photo

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("workers", "production"),
]

MAX_AT_REST = 250_000_000


def inference_children() -> list[int]:
    stats = current_app.control.inspect(["inference@test"], timeout=10).stats()
    return stats["inference@test"]["pool"]["processes"]


def test_the_largest_photos_do_not_cost_the_child_that_scores(alice: APIClient) -> None:
    assert post_photo(alice, drawn_photo(70)).status_code == 200
    before = inference_children()
    large = [(name, data) for name, data in expensive_files() if name.startswith("full_size")]
    assert len(large) == 5
    for name, data in large:
        response = post_photo(alice, data, headers={"Prefer": "wait=30"})
        assert response.status_code == 200, (name, error_of(response))
    assert post_photo(alice, drawn_photo(71)).status_code == 200
    assert inference_children() == before
    for pid in before:
        assert psutil.Process(pid).memory_info().rss <= MAX_AT_REST
