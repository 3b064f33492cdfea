"""Shadows: versions in Staging score what people asked for lately, and nothing else changes."""

import os
import signal
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from celery import current_app
from django.core.files.base import ContentFile
from django.utils import timezone

from mlmodels.ml.preprocessing import decode_photo
from mlmodels.models import ModelVersion
from mlmodels.scoring import score_image
from mlmodels.services import version_promote
from predictions import shadow_services
from predictions.models import Inference, Photo, Prediction, Shadow
from predictions.photo_services import photo_store
from predictions.services import prediction_create
from predictions.shadow_selectors import (
    MAX_SHADOWS,
    photos_to_shadow,
    shadow_inferences,
    shadow_of,
)
from predictions.shadow_services import CLAIM_S, shadows_score
from supervision.monitoring.selectors import mean_best_score, new_photo_count
from tests.support.files import files_of
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, unsent, upload
from tests.support.rows import inference_fields
from tests.support.stack import eventually
from tests.support.versions import another_version

pytestmark = pytest.mark.django_db(transaction=True)

SCORE_TASK = "predictions.tasks.score_shadows"
FIRST = 700


@pytest.fixture
def staged(production) -> ModelVersion:
    """Return a version in Staging that names another species than the one in production."""
    return another_version(temperature=0.5, shift=1)


def asked(seed: int, version: ModelVersion, **more: object) -> Photo:
    """Store a photo that somebody asked for, and that `version` has scored."""
    data = drawn_photo(seed)
    photo = photo_store(data=data, image=decode_photo(data), origin="a.jpg")
    inference, _ = Inference.objects.get_or_create(
        photo=photo, model_version=version, defaults=inference_fields(version, [91.0, *[1.0] * 9])
    )
    fields = {"file": "a.jpg", "is_upload": True, "status": "done", "inference": inference}
    Prediction.objects.create(**fields | more)
    return photo


def scored(version: ModelVersion) -> list[int]:
    """Return the photos that a version has scored, in that order."""
    inferences = Inference.objects.filter(model_version=version).order_by("id")
    return list(inferences.values_list("photo_id", flat=True))


def waiting(version: ModelVersion, production: ModelVersion) -> list[Photo]:
    return photos_to_shadow(shadow_of(version), production)


def test_the_photos_that_people_asked_for_last_are_scored_first(production, staged) -> None:
    photos = [asked(seed, production) for seed in range(FIRST, FIRST + 3)]
    asked(FIRST, production)  # again
    assert shadows_score() == 3
    assert scored(staged) == [photos[index].pk for index in (0, 2, 1)]
    inference = Inference.objects.get(photo=photos[0], model_version=staged)
    expected = score_image(staged, decode_photo(drawn_photo(FIRST)))
    assert (inference.scores, inference.scope_score) == (expected.scores, expected.scope_score)
    assert inference.best_species == staged.labels[expected.scores.index(max(expected.scores))]
    assert inference.is_background
    assert shadow_inferences(staged, production).count() == 3
    assert shadows_score() == 0, "all is done"
    assert len(scored(staged)) == 3


def test_nothing_else_changes(production, staged, settings) -> None:
    settings.CHAMPIPY_KEEP_SCORE = 0
    photos = [asked(seed, production) for seed in range(FIRST, FIRST + 2)]
    before = (
        list(Prediction.objects.order_by("id").values()),
        list(Photo.objects.order_by("id").values()),
        mean_best_score(100),
    )
    assert shadows_score() == 2
    assert before == (
        list(Prediction.objects.order_by("id").values()),
        list(Photo.objects.order_by("id").values()),
        mean_best_score(100),
    )
    assert new_photo_count(timezone.now() - timedelta(days=400)) == 0
    assert scored(production) == [photo.pk for photo in photos]


def test_a_worker_scores_them_and_is_as_small_as_before(workers, production, staged) -> None:
    photo = asked(FIRST, production)
    current_app.send_task(SCORE_TASK)
    assert eventually(lambda: scored(staged) == [photo.pk], 30)
    second = asked(FIRST + 1, production)
    answered_here = prediction_create(
        user=None,
        file=ContentFile(drawn_photo(FIRST + 2), name="b.jpg"),
        nb_preds=1,
        version=production,
    )
    assert eventually(lambda: Prediction.objects.get(pk=answered_here.pk).status == "done", 30)
    current_app.send_task(SCORE_TASK)
    assert eventually(lambda: second.pk in scored(staged) and len(scored(staged)) == 3, 30)
    assert eventually(lambda: Shadow.objects.get().claimed_at is None, 10)
    stats = current_app.control.inspect(["inference@test"], timeout=10).stats()
    for pid in stats["inference@test"]["pool"]["processes"]:
        assert psutil.Process(pid).memory_info().rss <= 250_000_000


def test_a_killed_worker_loses_nothing(workers, production, staged) -> None:
    photos = [asked(seed, production) for seed in range(FIRST, FIRST + 40)]
    stats = current_app.control.inspect(["inference@test"], timeout=10).stats()
    current_app.send_task(SCORE_TASK)
    assert eventually(lambda: len(scored(staged)) > 0, 30)
    for pid in stats["inference@test"]["pool"]["processes"]:
        os.kill(pid, signal.SIGKILL)
    Shadow.objects.exclude(claimed_at=None).update(
        claimed_at=timezone.now() - timedelta(seconds=CLAIM_S + 1)
    )

    def all_are_scored() -> bool:
        current_app.send_task(SCORE_TASK)
        return len(scored(staged)) + len(shadow_of(staged).skipped) == len(photos)

    assert eventually(all_are_scored, 60)
    assert len(scored(staged)) == len(set(scored(staged))) >= len(photos) - 1
    assert shadow_of(staged).lost_workers <= 1


def test_people_go_first_and_the_time_is_bounded(production, staged) -> None:
    for seed in range(FIRST, FIRST + 2):
        asked(seed, production)
    waits = Prediction.objects.create(file="a", is_upload=True, sha256="a")
    assert shadows_score() == 0
    assert not Shadow.objects.exists(), "the version was not even loaded"
    Prediction.objects.filter(pk=waits.pk).update(sha256="")  # it waits for its host
    assert shadows_score(seconds=0) == 1, "however long the engine took to load"
    assert shadows_score() == 1


def test_a_person_who_comes_meanwhile_waits_for_one_photo(production, staged, monkeypatch) -> None:
    for seed in range(FIRST, FIRST + 3):
        asked(seed, production)
    make = shadow_services.inference_of

    def somebody_asks(**arguments: object) -> Inference:
        Prediction.objects.create(file="a", is_upload=True, sha256="a")
        return make(**arguments)

    monkeypatch.setattr(shadow_services, "inference_of", somebody_asks)
    assert shadows_score() == 1
    assert shadow_of(staged).claimed_at is None


def test_only_the_last_photos_of_people_are_scored(production, staged, settings) -> None:
    now = timezone.now()
    times = [now - timedelta(days=days) for days in (29, 20, 10)]
    old, middle, new = (
        asked(FIRST + number, production, created_at=at) for number, at in enumerate(times)
    )
    asked(FIRST + 3, production, is_background=True)
    asked(FIRST + 4, production, created_at=now - timedelta(days=31))
    asked(FIRST + 5, another_version(temperature=0.7))  # not by the version in production
    unread = asked(FIRST + 6, production, created_at=now - timedelta(days=15))
    Photo.objects.filter(pk=unread.pk).update(file="")
    settings.CHAMPIPY_SHADOW_PHOTOS = 4
    ModelVersion.objects.exclude(pk__in=[production.pk, staged.pk]).update(stage="None")
    assert [photo.pk for photo in waiting(staged, production)] == [new.pk, middle.pk]
    settings.CHAMPIPY_SHADOW_PHOTOS = 5
    assert [photo.pk for photo in waiting(staged, production)] == [new.pk, middle.pk, old.pk]
    settings.CHAMPIPY_SHADOW_PHOTOS = 3
    assert shadows_score() == 1
    asked(FIRST + 7, production)
    settings.CHAMPIPY_SHADOW_PHOTOS = 1
    assert waiting(staged, production) == [], "it has scored as many as it may"


def test_switched_off_none_is_scored(production, staged, settings) -> None:
    asked(FIRST, production)
    settings.CHAMPIPY_SHADOW_PHOTOS = 0
    assert shadows_score() == 0
    settings.CHAMPIPY_SHADOW_PHOTOS = 500
    ModelVersion.objects.filter(pk=staged.pk).update(stage="Archived")
    assert shadows_score() == 0
    assert scored(staged) == []


def test_only_the_newest_versions_in_staging_are_shadows(production) -> None:
    versions = [another_version(temperature=0.5 + number / 10) for number in range(MAX_SHADOWS + 1)]
    photo = asked(FIRST, production)
    assert [shadows_score() for _ in range(MAX_SHADOWS + 1)] == [*[1] * MAX_SHADOWS, 0]
    assert [scored(version) for version in versions] == [[], *[[photo.pk]] * MAX_SHADOWS]


def test_a_version_that_is_promoted_meanwhile_stops(production, staged, monkeypatch) -> None:
    photos = [asked(seed, production) for seed in range(FIRST, FIRST + 3)]
    make = shadow_services.inference_of

    def promote_then_make(**arguments: object) -> Inference:
        version_promote(version=staged, by=None, reason="test")
        return make(**arguments)

    monkeypatch.setattr(shadow_services, "inference_of", promote_then_make)
    assert shadows_score() == 1
    assert scored(staged) == [photos[2].pk]
    assert shadow_of(staged).claimed_at is None


def test_once_promoted_what_it_said_answers_people_and_counts_as_scored_for_them(
    production, staged, settings, users
) -> None:
    settings.CHAMPIPY_KEEP_SCORE = 0
    answered(upload(drawn_photo(FIRST)))
    Photo.objects.update(split="", split_at=None, label=None, label_source="")
    assert shadows_score() == 1
    Inference.objects.filter(model_version=staged).update(in_scope=True)
    version_promote(version=staged, by=None, reason="test")
    prediction = prediction_create(
        user=users["alice"],
        file=ContentFile(drawn_photo(FIRST), name="again.jpg"),
        nb_preds=1,
        version=staged,
        send=unsent,
    )
    assert (prediction.status, prediction.reused) == ("done", True)
    inference = Inference.objects.get(model_version=staged)
    assert prediction.inference == inference
    assert not inference.is_background
    photo = Photo.objects.get()
    assert photo.label is not None
    assert (photo.split, photo.label.name) == ("training", inference.best_species)
    assert photo.contributed_by == users["alice"]


def test_a_task_that_runs_twice_scores_nothing_twice(production, staged) -> None:
    asked(FIRST, production)
    Shadow.objects.create(model_version=staged, claimed_at=timezone.now())
    assert shadows_score() == 0, "another worker is at it"
    Shadow.objects.update(claimed_at=None)
    photo = Photo.objects.get()
    shadow = shadow_services._claim(staged)
    assert shadow is not None
    Inference.objects.create(  # by a person's prediction, just after a promotion
        photo=photo, model_version=staged, **inference_fields(staged, [91.0, *[1.0] * 9])
    )
    assert not shadow_services._score_photo(shadow, photo, lambda image: score_image(staged, image))
    assert scored(staged) == [photo.pk]


def test_a_worker_that_dies_skips_a_photo_and_several_stop_the_shadow(
    production, staged, monkeypatch
) -> None:
    photos = [asked(seed, production) for seed in range(FIRST, FIRST + 5)]
    photos.reverse()

    def die(**arguments: object) -> None:
        raise SystemExit

    for number in range(Shadow.MAX_LOST_WORKERS):
        with monkeypatch.context() as patched, pytest.raises(SystemExit):
            patched.setattr(shadow_services, "photo_read", die)
            shadows_score()
        assert shadow_of(staged).photo_id == photos[number].pk
        assert shadows_score() == 0, "it may be at it still"
        Shadow.objects.update(claimed_at=timezone.now() - timedelta(seconds=CLAIM_S + 1))
    assert shadows_score() == 0
    shadow = shadow_of(staged)
    assert (shadow.lost_workers, shadow.is_left_alone) == (Shadow.MAX_LOST_WORKERS, True)
    assert shadow.skipped == [photo.pk for photo in photos[: Shadow.MAX_LOST_WORKERS]]
    assert (scored(staged), waiting(staged, production)) == ([], [])


def test_a_photo_that_cannot_be_read_is_skipped_and_stops_nobody(production, staged) -> None:
    photo, damaged = asked(FIRST, production), asked(FIRST + 1, production)
    Path(damaged.file.path).write_bytes(b"rust")
    assert shadows_score() == 1
    assert scored(staged) == [photo.pk]
    assert shadow_of(staged).skipped == [damaged.pk]
    assert waiting(staged, production) == []
    assert shadow_of(staged).lost_workers == 0


def test_a_version_whose_files_are_damaged_says_so_until_they_are_back(
    production, staged, caplog
) -> None:
    photo = asked(FIRST, production)
    weights = files_of(staged) / "weights.safetensors"
    intact = weights.read_bytes()
    weights.write_bytes(b"rust")
    for _ in range(2):
        assert shadows_score() == 0
    assert "weights.safetensors" in shadow_of(staged).error
    assert caplog.text.count("can't score photos") == 1, "said once"
    weights.write_bytes(intact)
    assert shadows_score() == 1
    assert scored(staged) == [photo.pk]
    assert shadow_of(staged).error == ""
    assert shadow_of(staged).lost_workers == 0


def test_a_photo_that_is_deleted_meanwhile_leaves_no_inference(
    production, staged, monkeypatch
) -> None:
    photo = asked(FIRST, production)
    read = shadow_services.photo_read

    def read_then_delete(*, sha256: str) -> bytes | None:
        data = read(sha256=sha256)
        Prediction.objects.all().delete()
        Inference.objects.all().delete()
        photo.delete()
        return data

    monkeypatch.setattr(shadow_services, "photo_read", read_then_delete)
    assert shadows_score() == 0
    assert not Inference.objects.exists()
