"""Worker `inference` scores what waits: several photos at a time, each once."""

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.db import connection, transaction

from common.valkey import valkey_client
from mlmodels.ml.preprocessing import decode_photo
from mlmodels.models import ModelVersion
from mlmodels.scoring import LANES, score_image
from predictions import dispatch, scoring_services, scoring_wakeup
from predictions.answer_services import prediction_wait
from predictions.deletion_services import prediction_delete
from predictions.dispatch import INFER_TASK, SCORE_TASK, schedule_resend, send_to_worker
from predictions.models import Inference, Photo, Prediction
from predictions.photo_services import DecodedPhoto, photos_store
from predictions.scoring_services import MAX_IN_HAND, waiting_score
from predictions.selectors import answered_predictions
from predictions.wakeup import announce_answers
from tests.support.files import incoming_path
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, unsent, upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]

FIRST = 4200


def uploads(count: int) -> list[Prediction]:
    return [upload(drawn_photo(FIRST + number)) for number in range(count)]


def score_all() -> None:
    """Score what waits, as a worker does, however long this machine takes."""
    waiting_score(send=unsent, seconds=120)


def states() -> list[tuple]:
    rows = Prediction.objects.order_by("pk")
    return list(rows.values_list("status", "error_code", "reused", "attempts"))


@pytest.fixture(autouse=True)
def messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Return the names of the tasks that are sent. Workers of other tests do not get them."""
    sent: list[str] = []

    def note(name: str, *arguments: object, **options: object) -> bool:
        sent.append(name)
        return True

    monkeypatch.setattr(dispatch, "send_task", note)
    scoring_wakeup.stop_being_awake()
    yield sent
    scoring_wakeup.stop_being_awake()


def test_all_that_waits_is_scored_once_and_told_in_the_right_rows() -> None:
    asked = uploads(2 * MAX_IN_HAND + 1)
    score_all()
    assert states() == [("done", "", False, 1)] * len(asked)
    for number, prediction in enumerate(answered_predictions().order_by("pk")):
        data = drawn_photo(FIRST + number)
        photo = prediction.inference.photo
        assert photo.sha256 == hashlib.sha256(data).hexdigest()
        assert default_storage.open(photo.file.name).read() == data
        version = prediction.inference.model_version
        assert prediction.inference.scores == score_image(version, decode_photo(data)).scores
    assert Inference.objects.count() == Photo.objects.count() == len(asked)
    assert list(incoming_path(0).parent.glob("*")) == []


def test_one_photo_of_several_predictions_is_scored_once() -> None:
    for _ in range(3):
        upload(drawn_photo(FIRST))
    score_all()
    assert sorted(states()) == [("done", "", False, 1), *[("done", "", True, 1)] * 2]
    assert Inference.objects.count() == 1


def test_two_workers_take_different_predictions() -> None:
    asked = uploads(8)
    threads = [threading.Thread(target=score_and_close) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states() == [("done", "", False, 1)] * len(asked)
    assert Inference.objects.count() == len(asked)


def score_and_close() -> None:
    score_all()
    connection.close()


def test_a_bad_photo_among_others_fails_alone() -> None:
    uploads(2)
    upload(b"<html>no photo</html>")
    upload(drawn_photo(FIRST + 9)[:-200])
    score_all()
    assert [(status, code) for status, code, *_ in states()] == [
        ("done", ""),
        ("done", ""),
        ("failed", "not_an_image"),
        ("failed", "image_truncated"),
    ]
    assert Photo.objects.count() == 2


def test_a_photo_that_cannot_be_stored_does_not_keep_others_from_it() -> None:
    asked = [upload(drawn_photo(FIRST + 20 + number)) for number in range(4)]
    in_the_way = default_storage.path(f"photos/{asked[1].sha256[:2]}/{asked[1].sha256}")
    Path(in_the_way).mkdir(parents=True)
    score_all()
    assert [status for status, *_ in states()] == ["done", "pending", "done", "done"]
    Path(in_the_way).rmdir()
    assert answered(asked[1]).status == "done"


def test_a_sent_file_becomes_the_photo_unless_it_was_replaced_meanwhile() -> None:
    data, other = drawn_photo(FIRST + 500), drawn_photo(FIRST + 501)
    image = decode_photo(data)
    for sent, is_same in ((data, True), (other, False)):
        prediction = upload(sent)
        decoded = DecodedPhoto.of(data, image, prediction.pk)
        with transaction.atomic():
            _, new = photos_store([(decoded, "a photo")])
        [photo] = new.values()
        with default_storage.open(photo.file.name) as stored:
            assert stored.read() == data
            assert Path(stored.name).samefile(incoming_path(prediction.pk)) is is_same
        assert incoming_path(prediction.pk).read_bytes() == sent
        photo.delete()
        default_storage.delete(photo.file.name)


def test_what_was_deleted_meanwhile_leaves_nothing(monkeypatch) -> None:
    kept, deleted = uploads(2)
    store = scoring_services._answer

    def delete_and_answer(works) -> None:
        prediction_delete(prediction=deleted)
        store(works)

    monkeypatch.setattr(scoring_services, "_answer", delete_and_answer)
    score_all()
    assert Prediction.objects.get() == kept
    assert Photo.objects.get().sha256 == kept.sha256


def test_what_was_taken_by_a_worker_that_died_is_sent_with_a_message_of_its_own(
    messages: list[str],
) -> None:
    [prediction] = uploads(1)
    Prediction.objects.update(attempts=1)
    score_all()
    prediction.refresh_from_db()
    assert prediction.status == "pending", "only a message of its own has it scored again"
    schedule_resend(prediction)
    send_to_worker(prediction)
    assert messages == [INFER_TASK]
    assert answered(prediction).status == "done"


def test_a_worker_goes_on_later_when_its_time_is_over(messages: list[str]) -> None:
    uploads(MAX_IN_HAND + 2)
    waiting_score(send=unsent, seconds=0)
    assert {status for status, *_ in states()} == {"pending"}
    assert messages == [SCORE_TASK]
    score_all()
    assert {status for status, *_ in states()} == {"done"}


def test_many_photos_need_one_message_until_no_worker_is_awake(messages: list[str]) -> None:
    for prediction in uploads(3):
        send_to_worker(prediction)
    assert messages == [SCORE_TASK]
    score_all()
    assert not valkey_client().exists("champipy:scoring_awake")
    send_to_worker(upload(drawn_photo(FIRST + 5)))
    assert messages == [SCORE_TASK] * 2


def test_a_photo_that_arrives_while_a_worker_lingers_needs_no_message(
    messages: list[str], monkeypatch
) -> None:
    monkeypatch.setattr(scoring_services, "LINGER_S", 3.0)
    worker = threading.Thread(target=score_and_close)
    scoring_wakeup.stay_awake()
    worker.start()
    for number in range(3):
        scoring_wakeup.stay_awake()  # on a slow machine, an upload takes longer than AWAKE_S
        prediction = upload(drawn_photo(FIRST + number))
        send_to_worker(prediction)
        assert prediction_wait(prediction=prediction, timeout_s=20).status == "done"
    worker.join()
    assert messages == []


def test_a_waiting_request_is_told_the_answer(django_assert_num_queries) -> None:
    [prediction] = uploads(1)
    score_all()
    with django_assert_num_queries(0):
        told = prediction_wait(prediction=prediction, timeout_s=5)
        best = told.inference.best(10)
        plausible = told.inference.plausible
    row = answered_predictions().get(pk=prediction.pk)
    assert (told.status, told.sha256, told.finished_at) == (row.status, row.sha256, row.finished_at)
    assert (best, plausible) == (row.inference.best(10), row.inference.plausible)
    assert told.inference.photo == row.inference.photo
    assert told.inference.model_version == row.inference.model_version
    assert told.inference.model_version.stage == ModelVersion.Stage.PRODUCTION


def test_an_answer_that_was_not_told_is_read(django_assert_num_queries) -> None:
    [prediction] = uploads(1)
    score_all()
    valkey_client().delete(f"champipy:answer:{prediction.pk}")
    announce_answers({prediction.pk: None})
    with django_assert_num_queries(1):
        assert prediction_wait(prediction=prediction, timeout_s=5).status == "done"


def test_photos_are_scored_beside_one_another_as_alone(production: ModelVersion) -> None:
    images = [decode_photo(drawn_photo(FIRST + number)) for number in range(2 * LANES)]
    alone = [score_image(production, image).scores for image in images]
    beside: dict[int, list[float]] = {}

    def score(number: int) -> None:
        for _ in range(3):
            beside[number] = score_image(production, images[number]).scores

    threads = [threading.Thread(target=score, args=(number,)) for number in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [beside[number] for number in range(len(images))] == alone


def test_waiting_for_photos_ends_as_soon_as_one_arrives() -> None:
    valkey_client().delete("champipy:scoring_arrived")
    assert not scoring_wakeup.wait_for_photos(0.05)
    threading.Timer(0.2, scoring_wakeup.is_message_needed).start()
    began = time.monotonic()
    assert scoring_wakeup.wait_for_photos(1.5)
    assert time.monotonic() - began < 1.4
    scoring_wakeup.stop_being_awake()
