"""Makes explanations of answers, in the inference worker."""

import json
import zlib
from typing import Any

import numpy as np
from django.db import connection, transaction

from mlmodels.ml.explanation import METHOD
from mlmodels.ml.preprocessing import decode_photo
from mlmodels.scoring import explain_image
from predictions.explanations import SUFFIXES, Explanation
from predictions.models import Inference, Photo
from predictions.overlays import overlay, picture_size
from predictions.photo_services import photo_read
from predictions.pictures import picture_store, pictures_delete

DECIMALS = 4


def explanation_make(*, inference_id: int, species: str, against: str | None) -> None:
    """Make an explanation of a stored answer, unless it is in the cache already.

    `species` and `against` are labels of the version that answered. Does nothing if the answer or
    its photo is no longer stored. Where several workers are told to make the same one, the first
    makes it and the others wait for it. Raises ArtifactError if the version's files are missing or
    damaged, and PhotoError if the photo can't be decoded.
    """
    inferences = Inference.objects.select_related("photo", "model_version")
    inference = inferences.filter(pk=inference_id).first()
    if inference is None:
        return
    explanation = Explanation(inference, species, against)
    with transaction.atomic():
        _lock(explanation)
        if all(picture_store().exists(explanation.file_name(suffix)) for suffix in SUFFIXES):
            return
        data = photo_read(sha256=inference.photo.sha256)
        if data is None:
            return
        _write(explanation, data)
    # Whoever deletes a photo deletes its files after its row, perhaps before these were written.
    if not Photo.objects.filter(pk=inference.photo_id).exclude(file="").exists():
        pictures_delete(sha256=inference.photo.sha256)


def _lock(explanation: Explanation) -> None:
    """Keep others from making this explanation until the transaction ends."""
    key = zlib.crc32(explanation.file_name("").encode())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])


def _write(explanation: Explanation, data: bytes) -> None:
    image = decode_photo(data)
    values = explain_image(
        explanation.inference.model_version,
        image,
        species=explanation.species,
        against=explanation.against,
    )
    numbers = json.dumps(_numbers(explanation, values, image.size)).encode()
    for suffix, content in zip(SUFFIXES, (numbers, overlay(image, values)), strict=True):
        picture_store().write(explanation.file_name(suffix), content)


def _numbers(
    explanation: Explanation, values: np.ndarray, photo_size: tuple[int, int]
) -> dict[str, Any]:
    width, height = picture_size(*photo_size)
    return {
        "species": explanation.species,
        "against": explanation.against,
        "method": METHOD,
        "width": width,
        "height": height,
        "values": [[round(float(value), DECIMALS) for value in row] for row in values],
    }
