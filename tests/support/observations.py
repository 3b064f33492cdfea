"""Sends observations to the API, and answers them in this process, without workers."""

import json
from collections.abc import Sequence

from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from predictions.models import Prediction
from tests.support.predictions import answered

OBSERVATIONS = "/api/v1/observations"
ASYNC = {"Prefer": "respond-async"}


def post_urls(
    client: APIClient, urls: Sequence[str], names: Sequence[str] = (), headers: dict | None = None
):
    # json.dumps escapes lone surrogates, so that they reach the server, too.
    body = json.dumps({"photos": urls, "proposed": names})
    return client.post(OBSERVATIONS, body, content_type="application/json", headers=headers)


def post_photos(
    client: APIClient,
    photos: Sequence[bytes],
    names: Sequence[str] = (),
    headers: dict | None = None,
):
    files = [
        SimpleUploadedFile(f"{number}.jpg", data, content_type="image/jpeg")
        for number, data in enumerate(photos)
    ]
    body = {"photo": files, "proposed": list(names)}
    return client.post(OBSERVATIONS, body, format="multipart", headers=headers or ASYNC)


def finished() -> None:
    """Answer all pending predictions, as workers do."""
    for prediction in Prediction.objects.filter(status="pending").order_by("pk"):
        answered(prediction)
