"""A photo that was scored in the background is judged for training once a person asks for it."""

import threading

import pytest
from django.core.files.base import ContentFile
from django.db import connection

from mlmodels.selectors import production_version
from predictions import answer_services
from predictions.fetch_services import prediction_fetch
from predictions.inference_services import inference_ask
from predictions.models import Inference, Photo, Prediction
from predictions.services import prediction_create, predictions_create
from tests.support.calibrations import calibrate_version
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, unsent

pytestmark = pytest.mark.django_db(transaction=True)

DATA = drawn_photo(760)


@pytest.fixture(autouse=True)
def all_scores_are_sure(production, settings) -> None:
    settings.CHAMPIPY_KEEP_SCORE = 0
    calibrate_version(production, threshold=0.0)


def ask(user=None, *, is_background: bool = False) -> Prediction:
    return prediction_create(
        user=user,
        file=ContentFile(DATA, name="photo.jpg"),
        nb_preds=1,
        version=production_version(),
        is_background=is_background,
        send=unsent,
    )


@pytest.fixture
def inference() -> Inference:
    """Return an inference that was made in the background."""
    inference = answered(ask(is_background=True)).inference
    assert inference is not None and inference.is_background
    assert kept() == ("", None)
    return inference


def kept() -> tuple[str, str | None]:
    photo = Photo.objects.get()
    user = photo.contributed_by
    return photo.split, user.username if user else None


def test_the_first_person_who_asks_has_it_kept(users, inference) -> None:
    assert ask(is_background=True).reused
    assert kept() == ("", None), "nobody has asked for it yet"
    prediction = ask(users["alice"])
    assert (prediction.status, prediction.reused, prediction.inference) == ("done", True, inference)
    assert kept() == ("training", "alice")
    inference.refresh_from_db()
    assert not inference.is_background


def test_it_is_judged_once_as_after_a_first_score(users, inference, settings) -> None:
    settings.CHAMPIPY_KEEP_SCORE = 100
    ask(users["alice"])
    settings.CHAMPIPY_KEEP_SCORE = 0
    ask(users["clementine"])
    assert kept() == ("", None), "the photo was scored for alice, too low"


def test_a_photo_out_of_scope_is_not_kept(users, inference) -> None:
    Inference.objects.update(in_scope=False)
    ask(users["alice"])
    assert kept() == ("", None)
    assert not Inference.objects.get().is_background


def test_it_is_kept_too_where_a_worker_finds_the_stored_inference(users) -> None:
    person, background = ask(users["alice"]), ask(is_background=True)
    answered(background)
    assert kept() == ("", None)
    assert answered(person).reused
    assert kept() == ("training", "alice")


def test_it_is_kept_too_where_a_url_returns_the_photo(users, inference, settings, photo_server):
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})
    photo_server.files["background.jpg"] = DATA
    prediction = prediction_create(
        user=users["alice"],
        file=photo_server.url("background.jpg"),
        nb_preds=1,
        version=production_version(),
        send=unsent,
    )
    prediction_fetch(prediction_id=prediction.pk, send=unsent)
    prediction.refresh_from_db()
    assert prediction.reused
    assert kept() == ("training", "alice")


def test_a_batch_that_fails_keeps_nothing(users, inference) -> None:
    data = {"again.jpg": DATA, "new.jpg": drawn_photo(761)}
    files = [ContentFile(each, name=name) for name, each in data.items()]
    batch = {"user": users["alice"], "nb_preds": 1, "version": production_version()}

    def fail(prediction: Prediction) -> None:
        raise OSError

    with pytest.raises(OSError):
        predictions_create(files=files, send=fail, **batch)
    assert not Prediction.objects.filter(user=users["alice"]).exists()
    assert kept() == ("", None)
    predictions_create(files=files, send=unsent, **batch)
    assert kept() == ("training", "alice")


def test_a_process_that_dies_after_the_answer_leaves_it_to_the_next_person(
    users, inference, monkeypatch
) -> None:
    def die(**arguments: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(answer_services, "inference_ask", die)
        ask(users["alice"])
    assert Prediction.objects.filter(user=users["alice"], status="done").exists()
    assert kept() == ("", None)
    ask(users["clementine"])
    assert kept() == ("training", "clementine")


def test_of_several_who_ask_at_the_same_time_one_counts(users, inference) -> None:
    def ask_for(name: str) -> None:
        inference_ask(inference=inference, user=users[name])
        connection.close()

    threads = [threading.Thread(target=ask_for, args=[name]) for name in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    split, user = kept()
    assert split == "training"
    assert user in users
    inference_ask(inference=inference, user=users["bob"])
    assert kept() == (split, user)
