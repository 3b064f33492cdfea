"""The number of queries of the most used endpoints: it must not grow unnoticed."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from predictions.models import Prediction
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]


def test_a_reused_prediction_takes_four_queries(
    alice: APIClient, django_assert_num_queries
) -> None:
    data = drawn_photo(60)
    answered(upload(data))
    # The token with its user, the version in production, the inference, the insert.
    with django_assert_num_queries(4):
        response = alice.post("/api/v1/predictions", {"file": SimpleUploadedFile("a.jpg", data)})
    assert response.json()["reused"] is True


def test_a_list_takes_three_queries_for_any_number_of_rows(
    bob: APIClient, django_assert_num_queries
) -> None:
    answered(upload(drawn_photo(61)))
    for _ in range(7):
        upload(drawn_photo(61))
    assert Prediction.objects.count() == 8
    with django_assert_num_queries(3):  # the token with its user, the count, the page
        assert len(bob.get("/api/v1/predictions").json()["results"]) == 8
