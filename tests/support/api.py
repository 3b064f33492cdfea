"""Asks the API as a user does, and reads its errors."""

import json

from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from accounts.models import User
from predictions.incoming import incoming_path
from predictions.models import Photo

PREDICTIONS = "/api/v1/predictions"


def client_of(user: User | None) -> APIClient:
    """An API client with the user's token, got as a user gets one; None: with no token."""
    client = APIClient(raise_request_exception=False)  # a 503 is an answer
    if user is not None:
        from knox.models import get_token_model

        _, token = get_token_model().objects.create(user=user)
        client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


def post_url(client: APIClient, url: str, **more):
    # Escaped, so that half a surrogate pair, too, gets as far as the server.
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
