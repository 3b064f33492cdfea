"""Messages: filled in, stored, and told in the reader's language."""

import copy
import json
import pickle

import pytest
from django.db import connection
from django.utils.translation import override

from common.messages import (
    CountedMessage,
    Message,
    fill,
    message_dump,
    message_load,
    message_of,
)
from predictions.models import Prediction

DETAIL = "This field is required."  # of Django, in its own French catalogue
IN_FRENCH = "Ce champ est obligatoire."


@pytest.mark.parametrize(
    ("text", "parameters", "english", "french"),
    [
        ("%(score).2f %%", {"score": 96.4}, "96.40 %", "96,40 %"),
        ("%(limit)g and %(id)d", {"limit": 0.5, "id": 12345}, "0.5 and 12345", "0,5 and 12345"),
        ("%(count)s of %(name)s", {"count": 20000, "name": "a.b"}, "20,000 of a.b", None),
        ("%(change)+.1f", {"change": 0.25}, "+0.2", "+0,2"),
        ("nothing to fill", {}, "nothing to fill", "nothing to fill"),
    ],
)
def test_numbers_are_written_as_the_language_has_them(text, parameters, english, french):
    with override("en"):
        assert fill(text, parameters) == english
    with override("fr"):
        assert fill(text, parameters) == (french or "20\xa0000 of a.b")


def test_a_parameter_is_never_filled_in_itself():
    assert fill("%(name)s", {"name": "%(secret)s %d"}) == "%(secret)s %d"


def test_a_message_compares_and_tells_as_its_text():
    message = Message("%(count)d photos", count=2)
    assert message == "2 photos"
    assert "photos" in message
    assert message.startswith("2")
    assert f"{message}!" == "2 photos!"
    assert message != Message("%(count)d photos", count=3)
    assert copy.deepcopy(message) == pickle.loads(pickle.dumps(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        Message("There is no photo at this address."),
        Message("%(reason)s Try later.", reason=Message("Status %(status)d.", status=502)),
        CountedMessage("%(count)d photo of %(name)s", "%(count)d photos of %(name)s", 2, name="é"),
        Message('A "quoted" %(name)s', name='{"text": "other"}'),
    ],
)
def test_a_stored_message_is_the_same_when_it_is_loaded(message):
    loaded = message_load(message_dump(message))
    assert type(loaded) is type(message)
    assert message_dump(loaded) == message_dump(message)
    assert loaded == message


@pytest.mark.parametrize(
    "stored",
    ["", "An old row's text: 5 %.", '{"text": ', '{"text": "a"}', '{"text": "a", "parameters": 3}'],
)
def test_what_is_no_stored_message_is_told_as_it_is(stored):
    assert message_load(stored) == stored
    assert type(message_load(stored)) is str


def test_the_number_chooses_the_form():
    forms = [str(CountedMessage("%(count)d day", "%(count)d days", n)) for n in (0, 1, 2)]
    assert forms == ["0 days", "1 day", "2 days"]


def test_the_message_of_an_error_is_what_it_was_raised_with():
    message = Message("It is %(what)s.", what="full")
    assert message_of(ValueError(message)) is message
    assert message_of(ValueError("plain")) == "plain"


@pytest.mark.django_db
def test_a_field_stores_english_and_is_told_in_the_readers_language():
    with override("fr"):
        prediction = Prediction.objects.create(
            file="x.jpg",
            is_upload=True,
            status=Prediction.Status.FAILED,
            error_code="image_not_found",
            error_detail=Message(DETAIL),
        )
    with connection.cursor() as cursor:
        cursor.execute("SELECT error_detail FROM predictions_prediction")
        [[stored]] = cursor.fetchall()
    assert json.loads(stored) == {"text": DETAIL, "parameters": {}}
    prediction.refresh_from_db()
    assert prediction.error_detail == DETAIL
    with override("fr"):
        assert prediction.error_detail == IN_FRENCH
        assert Prediction.objects.filter(error_detail=prediction.error_detail).count() == 1
        prediction.save()
    with connection.cursor() as cursor:
        cursor.execute("SELECT error_detail FROM predictions_prediction")
        assert cursor.fetchall() == [(stored,)]


@pytest.mark.django_db
def test_a_row_of_an_older_release_keeps_its_text():
    Prediction.objects.create(
        file="x.jpg",
        is_upload=True,
        status=Prediction.Status.FAILED,
        error_code="image_not_found",
        error_detail="It was gone (100 %).",
    )
    with override("fr"):
        assert Prediction.objects.get().error_detail == "It was gone (100 %)."
