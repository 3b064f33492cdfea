"""One user cannot take what all users share: fetch threads, waiting places, training photos."""

import threading

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from mlmodels.models import ModelVersion
from predictions import recovery_services
from predictions.api.waiting import WaitingPlaces
from predictions.dispatch import Send, send_to_worker
from predictions.fair_shares import all_waiting_send, share_of, waiting_send
from predictions.fetch_services import prediction_fetch
from predictions.models import Photo, Prediction
from predictions.photo_services import photo_keep_for_training
from predictions.recovery_services import predictions_resend
from predictions.scoring_services import prediction_infer
from predictions.services import prediction_create
from tests.support.api import PREDICTIONS, client_of, post_url
from tests.support.calibrations import calibrate_version
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, unsent

pytestmark = pytest.mark.django_db(transaction=True)

HANGING = "http://{}/hang?{}"


@pytest.fixture(autouse=True)
def open_photo_server(settings, photo_server: PhotoServer) -> None:
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})


@pytest.fixture
def ask_as(production: ModelVersion, photo_server: PhotoServer):
    """Return a function that asks for a photo of the photo server, and records what is sent."""

    def ask(user: User, path: str, sent: list[int]) -> Prediction:
        return prediction_create(
            user=user,
            file=f"http://{photo_server.address}/{path}",
            nb_preds=1,
            version=production,
            send=lambda prediction: sent.append(prediction.pk),
        )

    return ask


def test_urls_beyond_a_users_share_wait_and_are_sent_as_others_end(
    users: dict[str, User], settings, ask_as
) -> None:
    settings.CHAMPIPY_USER_FETCHES = 2
    sent: list[int] = []
    asked = [ask_as(users["alice"], f"missing-{number}.jpg", sent) for number in range(5)]
    assert sent == [each.pk for each in asked[:2]]
    assert [each.next_send_at is None for each in asked] == [False, False, True, True, True]
    assert {each.status for each in Prediction.objects.all()} == {"pending"}
    other = ask_as(users["bob"], "missing.jpg", sent)
    assert sent[2:] == [other.pk]
    record = lambda prediction: sent.append(prediction.pk)  # noqa: E731
    prediction_fetch(prediction_id=asked[0].pk, send=record)
    assert sent[3:] == [asked[2].pk]
    assert waiting_send(share=share_of(asked[0]), send=record) == 0
    assert Prediction.objects.filter(next_send_at=None, status="pending").count() == 2


def test_what_champipy_asks_for_by_itself_has_one_place_at_the_scoring(
    users: dict[str, User], production: ModelVersion, settings
) -> None:
    settings.CHAMPIPY_USER_FETCHES = 2
    sent: list[int] = []

    def record(prediction: Prediction) -> None:
        sent.append(prediction.pk)

    def ask_by_itself(number: int) -> Prediction:
        return prediction_create(
            user=None,
            file=f"https://photos.example.com/{number}.jpg",
            nb_preds=1,
            version=production,
            is_background=True,
            send=record,
        )

    by_itself = [ask_by_itself(number) for number in range(4)]
    assert sent == [each.pk for each in by_itself[:2]]
    terminal = prediction_create(
        user=None, file="https://photos.example.com/5.jpg", nb_preds=1, version=production,
        send=record,
    )  # fmt: skip
    assert sent[2:] == [terminal.pk], "the terminal does not wait for it"
    pks = [each.pk for each in by_itself]
    Prediction.objects.filter(pk__in=pks).update(sha256="a" * 64, next_send_at=None)
    del sent[:]
    assert all_waiting_send(send=record) == 1
    assert sent == pks[:1]
    assert all_waiting_send(send=record) == 0
    Prediction.objects.filter(pk=pks[0]).update(
        status="failed", error_code="not_an_image", next_send_at=None
    )
    assert waiting_send(share=share_of(by_itself[0]), send=record) == 1
    assert sent == pks[:2]


def test_a_photo_that_was_fetched_makes_room_before_it_is_scored(
    users: dict[str, User], settings, ask_as
) -> None:
    settings.CHAMPIPY_USER_FETCHES = 1
    sent: list[int] = []
    first, second = (ask_as(users["alice"], path, sent) for path in ("drawn.jpg", "missing.jpg"))
    prediction_fetch(prediction_id=first.pk, send=lambda each: sent.append(each.pk))
    assert sent == [first.pk, first.pk, second.pk]  # fetched, then to be scored, then the next
    answered(first)


def test_photos_beyond_a_users_share_of_scoring_wait_and_are_sent_as_others_end(
    users: dict[str, User], production: ModelVersion, settings
) -> None:
    settings.CHAMPIPY_USER_SCORINGS = 2
    sent: list[int] = []
    record = lambda prediction: sent.append(prediction.pk)  # noqa: E731
    asked = [upload_as(users["alice"], drawn_photo(60 + n), record) for n in range(5)]
    assert sent == [each.pk for each in asked[:2]]
    assert [each.next_send_at is None for each in asked] == [False, False, True, True, True]
    other = upload_as(users["bob"], drawn_photo(65), record)
    assert sent[2:] == [other.pk], "bob's photo comes after two of alice's five"
    prediction_infer(prediction_id=asked[0].pk, send=record)
    assert sent[3:] == [asked[2].pk]
    for each in (*asked[1:], other):
        prediction_infer(prediction_id=each.pk, send=record)
    assert sent[4:] == [asked[3].pk, asked[4].pk]
    assert set(Prediction.objects.values_list("status")) == {("done",)}


def test_fetched_photos_wait_for_their_share_of_scoring_too(
    users: dict[str, User], settings, ask_as
) -> None:
    settings.CHAMPIPY_USER_SCORINGS = 1
    sent: list[int] = []
    record = lambda prediction: sent.append(prediction.pk)  # noqa: E731
    first, second = (ask_as(users["alice"], path, sent) for path in ("drawn.jpg", "drawn.jpg?2"))
    del sent[:]
    prediction_fetch(prediction_id=first.pk, send=record)
    prediction_fetch(prediction_id=second.pk, send=record)
    assert sent == [first.pk]
    second.refresh_from_db()
    assert (second.status, second.sha256 != "", second.next_send_at) == ("pending", True, None)
    prediction_infer(prediction_id=first.pk, send=record)
    assert sent == [first.pk, second.pk]
    assert answered(second).status == "done"


def test_beat_sends_waiting_urls_that_nobody_sent(
    users: dict[str, User], settings, ask_as, monkeypatch
) -> None:
    settings.CHAMPIPY_USER_FETCHES = 1
    sent: list[int] = []
    first, second = (ask_as(users["alice"], f"{path}.jpg", sent) for path in "ab")
    monkeypatch.setattr(recovery_services, "send_to_worker", lambda each: sent.append(each.pk))
    predictions_resend()
    assert sent == [first.pk]
    Prediction.objects.filter(pk=first.pk).update(
        status="failed", error_code="image_timeout", next_send_at=None
    )
    predictions_resend()
    assert sent == [first.pk, second.pk]
    second.refresh_from_db()
    assert second.next_send_at is not None
    third = ask_as(users["alice"], "c.jpg", sent)
    User.objects.filter(pk=users["alice"].pk).delete()
    Prediction.objects.filter(pk=second.pk).delete()
    predictions_resend()
    assert sent[2:] == [third.pk], "a deleted user's URLs do not wait for ever"


def test_simultaneous_requests_do_not_exceed_the_share(
    users: dict[str, User], settings, ask_as
) -> None:
    settings.CHAMPIPY_USER_FETCHES = 3
    sent: list[int] = []

    def ask(number: int) -> None:
        ask_as(users["alice"], f"{number}.jpg", sent)
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == 3
    assert Prediction.objects.filter(status="pending", next_send_at=None).count() == 9


@pytest.mark.usefixtures("workers")
def test_a_silent_host_of_one_user_does_not_delay_another_users_url(
    users: dict[str, User], production: ModelVersion, photo_server: PhotoServer
) -> None:
    for number in range(200):
        prediction_create(
            user=users["alice"],
            file=HANGING.format(photo_server.address, number),
            nb_preds=1,
            version=production,
            send=send_to_worker,
        )
    # Before, the worker's threads were all held for ten seconds, and 180 URLs were before this one.
    response = client_of(users["bob"]).post(
        PREDICTIONS,
        {"file": f"http://{photo_server.address}/drawn.jpg"},
        format="json",
        headers={"Prefer": "wait=5"},
    )
    assert (response.status_code, response.json()["status"]) == (200, "done")
    assert Prediction.objects.filter(user=users["alice"], status="pending").count() >= 192


def test_waiting_places_are_shared(settings) -> None:
    settings.CHAMPIPY_WAITING_REQUESTS = 3
    settings.CHAMPIPY_USER_WAITING_REQUESTS = 2
    places = WaitingPlaces()
    with places.taken_by(1) as first, places.taken_by(1) as second:
        with places.taken_by(1) as third, places.taken_by(2) as other, places.taken_by(3) as last:
            assert (first, second, third, other, last) == (True, True, False, True, False)
        with places.taken_by(3) as again:
            assert again
    with places.taken_by(1) as first:
        assert first


def test_a_request_beyond_the_users_waiting_places_is_answered_at_once(
    users: dict[str, User], production: ModelVersion, photo_server: PhotoServer, settings
) -> None:
    settings.CHAMPIPY_USER_WAITING_REQUESTS = 0
    response = post_url(client_of(users["alice"]), f"http://{photo_server.address}/hang")
    assert response.status_code == 202


def test_a_copy_of_a_training_photo_is_not_trained_on(production: ModelVersion, settings) -> None:
    settings.CHAMPIPY_KEEP_SCORE = 0
    calibrate_version(production, threshold=0.0)  # drawn photos are in scope, too
    copies = [drawn_photo(98, format=format) for format in ("JPEG", "PNG")]
    first, again = (answered(upload_as(None, data)) for data in copies)
    assert first.status == again.status == "done"
    splits = Photo.objects.order_by("pk").values_list("split", "label_source")
    assert list(splits) == [("training", "predicted"), ("", "")]
    answered(upload_as(None, drawn_photo(99)))
    assert Photo.objects.filter(split="training").count() == 2


def upload_as(user: User | None, data: bytes, send: Send = unsent) -> Prediction:
    from django.core.files.base import ContentFile

    from mlmodels.selectors import production_version

    return prediction_create(
        user=user,
        file=ContentFile(data, name="a.jpg"),
        nb_preds=1,
        version=production_version(),
        send=send,
    )


def test_a_user_fills_only_a_share_of_a_training(
    users: dict[str, User], production: ModelVersion, settings
) -> None:
    settings.CHAMPIPY_KEEP_SCORE = 0
    calibrate_version(production, threshold=0.0)
    settings.CHAMPIPY_USER_SHARE = 0.2  # percent of a thousand: 2 photos
    photos = [drawn_photo(seed) for seed in (700, 701, 702)]
    predictions = [answered(upload_as(users["alice"], data)) for data in photos]
    assert [each.status for each in predictions] == ["done"] * 3
    kept = [each.inference.photo for each in predictions]
    assert [photo.split for photo in kept] == ["training", "training", ""]
    assert [photo.contributed_by for photo in kept] == [users["alice"], users["alice"], None]
    answered(upload_as(users["bob"], drawn_photo(703)))
    assert Photo.objects.get(contributed_by=users["bob"]).split == "training"
    # A reviewed photo is nobody's share any more.
    Photo.objects.filter(pk=kept[0].pk).update(label_source="confirmed", reviewed_at=timezone.now())
    answered(upload_as(users["alice"], drawn_photo(704)))
    assert Photo.objects.filter(contributed_by=users["alice"], split="training").count() == 3


def test_a_photo_that_was_left_out_is_not_labelled(
    users: dict[str, User], production: ModelVersion, settings
) -> None:
    settings.CHAMPIPY_USER_SHARE = 0
    photo = Photo.objects.create(
        sha256="1" * 64, file="a", bytes=1, width=99, height=99, perceptual_hash=0
    )
    assert not photo_keep_for_training(
        photo=photo, species_name=production.labels[0], user=users["alice"]
    )
    photo.refresh_from_db()
    assert (photo.split, photo.label, photo.contributed_by) == ("", None, None)
    assert photo_keep_for_training(photo=photo, species_name=production.labels[0])
