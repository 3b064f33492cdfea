"""Evaluation photos that tests of this folder share."""

import hashlib

import pytest

from mlmodels.ml.preprocessing import decode_photo
from mlmodels.models import ModelVersion, Species
from mlmodels.scoring import score_image
from predictions.import_services import photo_import
from predictions.models import Photo
from supervision.datasets.services import evaluation_set_freeze
from tests.support.photos import drawn_photo

PHOTOS = 8


@pytest.fixture
def evaluation_photos(production: ModelVersion) -> list[Photo]:
    """Store drawn photos, each labelled as the production version answers, and return them."""
    photos = []
    for seed in range(700, 700 + PHOTOS):
        data = drawn_photo(seed)
        scores = score_image(production, decode_photo(data)).scores
        photo_import(
            data=data,
            label=Species.objects.get_or_create(name=production.labels[scores.index(max(scores))])[
                0
            ],
            split=Photo.Split.EVALUATION,
            origin=f"{seed}.jpg",
            mushroom_observer_id=None,
        )
        photos.append(Photo.objects.get(sha256=hashlib.sha256(data).hexdigest()))
    evaluation_set_freeze(by=None, reason="test")
    return photos
