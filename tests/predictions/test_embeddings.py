"""Embeddings: computed once, in the background, and again for another embedder."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from mlmodels import scoring
from mlmodels.ml.embedder import embedder
from mlmodels.ml.preprocessing import decode_photo
from mlmodels.models import ModelVersion
from predictions import embedding_services
from predictions.deletion_services import photo_delete_if_unneeded
from predictions.embedding_services import (
    CLAIM_S,
    MAX_ATTEMPTS,
    listed_photos_embed,
    photo_embed,
    photos_to_embed,
)
from predictions.models import Photo, PhotoEmbedding, Prediction
from predictions.photo_services import photo_store
from supervision.retention.services import photo_files_prune
from tests.support.labelled_photos import ten_species
from tests.support.photos import drawn_photo
from tests.support.stack import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]


def stored(seed: int, *, is_listed: bool = True) -> Photo:
    data = drawn_photo(seed)
    photo = photo_store(data=data, image=decode_photo(data), origin="a.jpg")
    if is_listed:
        photo.label, photo.label_source = ten_species()[0], Photo.LabelSource.IMPORTED
        photo.licence = "https://creativecommons.org/publicdomain/zero/1.0/"
        photo.save()
    return photo


def numbers_of(photo: Photo) -> list[float] | None:
    """Return what is stored for the present embedder, without asking a worker for it."""
    return embedding_services._stored(photo)


def embedded() -> set[int]:
    done = PhotoEmbedding.objects.filter(embedder=embedder().id, numbers__isnull=False)
    return set(done.values_list("pk", flat=True))


def test_listed_photos_are_embedded_in_the_background_and_no_others() -> None:
    photos = [stored(seed) for seed in range(600, 603)]
    stored(610, is_listed=False)
    assert listed_photos_embed() is False
    assert embedded() == {photo.pk for photo in photos}
    before = list(PhotoEmbedding.objects.order_by("pk").values_list("numbers", "started_at"))
    assert listed_photos_embed() is False
    assert (
        list(PhotoEmbedding.objects.order_by("pk").values_list("numbers", "started_at")) == before
    )


def test_a_worker_embeds_them_without_being_asked_about(workers) -> None:
    photo = stored(604)
    embedding_services.listed_photos_send()
    assert eventually(lambda: embedded() == {photo.pk}, 30)


def test_predictions_go_first_and_the_time_is_bounded() -> None:
    for seed in range(600, 603):
        stored(seed)
    waiting = Prediction.objects.create(file="a", is_upload=True, sha256="a")
    assert listed_photos_embed() is False
    assert embedded() == set()
    Prediction.objects.filter(pk=waiting.pk).update(sha256="")  # it waits for its host
    assert listed_photos_embed(seconds=0) is True, "there is more to do"
    assert listed_photos_embed() is False
    assert len(embedded()) == 3


def test_another_embedder_is_noticed_and_photos_are_embedded_again() -> None:
    photo = stored(605)
    photo_embed(photo_id=photo.pk)
    numbers = numbers_of(photo)
    long_ago = timezone.now() - timedelta(days=1)
    PhotoEmbedding.objects.update(embedder="before", numbers=[0.5] * 7, started_at=long_ago)
    assert numbers_of(photo) is None
    assert list(photos_to_embed()) == [photo]
    listed_photos_embed()
    assert numbers_of(photo) == numbers


def test_a_killed_worker_loses_nothing_and_a_photo_that_kills_is_given_up(monkeypatch) -> None:
    photo, next_photo = stored(606), stored(607)

    def die(*args: object) -> None:
        raise SystemExit

    for attempt in range(1, MAX_ATTEMPTS + 1):
        with monkeypatch.context() as patched, pytest.raises(SystemExit):
            patched.setattr(embedding_services, "embed_image", die)
            photo_embed(photo_id=photo.pk)
        assert PhotoEmbedding.objects.get(pk=photo.pk).attempts == attempt
        assert list(photos_to_embed()) == [next_photo], "another worker may be at it still"
        photo_embed(photo_id=photo.pk)
        assert embedded() == set()
        dead = timezone.now() - timedelta(seconds=CLAIM_S + 1)
        PhotoEmbedding.objects.update(started_at=dead)
        is_given_up = attempt == MAX_ATTEMPTS
        assert list(photos_to_embed()) == ([next_photo] if is_given_up else [photo, next_photo])
    listed_photos_embed()
    assert embedded() == {next_photo.pk}


def test_a_photo_whose_file_is_damaged_stops_nobody(caplog) -> None:
    photo, next_photo = stored(608), stored(609)
    Path(photo.file.path).write_bytes(b"rust")
    assert listed_photos_embed() is False
    assert embedded() == {next_photo.pk}
    assert "missing or damaged" in caplog.text


def test_an_embedding_goes_with_the_photos_bytes() -> None:
    old, deleted = stored(611, is_listed=False), stored(612, is_listed=False)
    for photo in (old, deleted):
        photo_embed(photo_id=photo.pk)
    assert embedded() == {old.pk, deleted.pk}
    assert photo_delete_if_unneeded(photo=deleted)
    assert embedded() == {old.pk}
    Photo.objects.update(created_at=timezone.now() - timedelta(days=400))
    assert photo_files_prune(now=timezone.now()).count == 1
    assert not PhotoEmbedding.objects.exists()
    photo_embed(photo_id=old.pk)
    assert not PhotoEmbedding.objects.exists(), "there are no bytes to embed"


def test_bytes_that_go_while_a_worker_embeds_leave_no_embedding(monkeypatch) -> None:
    photo = stored(613, is_listed=False)
    embed = embedding_services.embed_image

    def embed_too_late(image: object) -> object:
        Photo.objects.update(created_at=timezone.now() - timedelta(days=400))
        assert photo_files_prune(now=timezone.now()).count == 1
        return embed(image)

    monkeypatch.setattr(embedding_services, "embed_image", embed_too_late)
    photo_embed(photo_id=photo.pk)
    assert not PhotoEmbedding.objects.exists()


def test_a_version_with_the_embedders_engine_serves_both(production) -> None:
    photo = stored(614)
    photo_embed(photo_id=photo.pk)
    assert (scoring._loaded_embedder is None) == embedder().is_engine_of(production.files)
    numbers = numbers_of(photo)
    PhotoEmbedding.objects.all().delete()
    ModelVersion.objects.update(stage=ModelVersion.Stage.ARCHIVED)
    photo_embed(photo_id=photo.pk)
    assert scoring._loaded_embedder is not None
    assert numbers_of(photo) == numbers, "no promotion changes it"
