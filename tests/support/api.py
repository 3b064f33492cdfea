"""Calls the API as a user does, and reads its errors."""

import json

from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import token_seen
from predictions.models import Photo
from tests.support.files import incoming_path

PREDICTIONS = "/api/v1/predictions"


def client_of(user: User | None) -> APIClient:
    """Return an API client with a new token of `user`, or without a token if `user` is None.

    The token was used already: so requests do not differ by a query that records its first use.
    """
    client = APIClient(raise_request_exception=False)  # errors come back as responses
    if user is not None:
        from knox.models import get_token_model

        stored, token = get_token_model().objects.create(user=user)
        token_seen(token=stored)
        client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


def post_url(client: APIClient, url: str, **more):
    # json.dumps escapes lone surrogates, so that they reach the server, too.
    body = json.dumps({"file": url, **more})
    return client.post(PREDICTIONS, body, content_type="application/json")


def post_photo(client: APIClient, data: bytes, headers: dict | None = None, **more):
    file = SimpleUploadedFile("a photo.jpg", data, content_type="image/jpeg")
    return client.post(PREDICTIONS, {"file": file, **more}, format="multipart", headers=headers)


def error_of(response) -> tuple[int, str]:
    [error] = response.json()["errors"]
    return response.status_code, error["code"]


def assert_nothing_left() -> None:
    assert Photo.objects.count() == 0
    assert list(incoming_path(0).parent.glob("*")) == []
