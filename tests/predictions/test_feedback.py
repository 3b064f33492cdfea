"""POST /predictions/{id}/feedback: who may say what, and what is stored."""

import pytest
from rest_framework.test import APIClient

from mlmodels.models import ModelVersion
from predictions.models import Feedback, Photo, Prediction
from tests.support.api import PREDICTIONS, error_of
from tests.support.rows import answered_prediction, version_row

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> ModelVersion:
    return version_row()


@pytest.fixture
def hers(users, version: ModelVersion) -> Prediction:
    """Return a done prediction of alice."""
    return answered_prediction(95.0, version, user=users["alice"])


def say(client: APIClient, prediction: Prediction, **body: object):
    return client.post(f"{PREDICTIONS}/{prediction.pk}/feedback", body, format="json")


def test_a_synonym_is_stored_as_given_with_its_species(alice: APIClient, hers, users) -> None:
    answer = say(alice, hers, species="Cerioporus cf. squamosus (Huds.)", comment="by its scales")
    assert answer.status_code == 200
    body = answer.json()
    assert body.pop("created_at")
    assert body == {
        "prediction": hers.pk,
        "species": "Polyporus squamosus",
        "name": "Cerioporus cf. squamosus (Huds.)",
        "comment": "by its scales",
        "is_reviewed": False,
    }
    feedback = Feedback.objects.get()
    assert (feedback.user, feedback.species.name) == (users["alice"], "Polyporus squamosus")


@pytest.mark.parametrize(("given", "name"), [(None, None), ("Boletus edulis", "Boletus edulis")])
def test_none_of_the_known_species_changes_no_label(alice, hers, given, name) -> None:
    before = Photo.objects.values().get()
    answer = say(alice, hers, species=given)
    assert answer.status_code == 200
    assert (answer.json()["species"], answer.json()["name"]) == (None, name)
    assert Photo.objects.values().get() == before


def test_a_second_one_takes_the_place_of_the_first_and_waits_again(alice, bob, hers) -> None:
    say(alice, hers, species="Amanita muscaria", comment="sure")
    Feedback.objects.update(reviewed_at="2026-01-01T00:00:00Z")
    assert say(alice, hers, species=None).json()["is_reviewed"] is False
    assert say(bob, hers, species="Amanita muscaria").status_code == 200  # an administrator
    rows = Feedback.objects.order_by("id").values_list("user__username", "name", "comment")
    assert list(rows) == [("alice", "", ""), ("bob", "Amanita muscaria", "")]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"species": ""},
        {"species": "???"},
        {"species": "Amanita\0"},
        {"species": "a" * 251},
        {"species": ["Amanita muscaria"]},
        {"species": None, "comment": "x" * 2001},
        {"species": None, "comment": None},
    ],
    ids=str,
)
def test_malformed_feedback_is_refused(alice: APIClient, hers, body) -> None:
    assert say(alice, hers, **body).status_code == 400
    assert Feedback.objects.count() == 0


def test_others_and_strangers_are_refused(nobody: APIClient, users, hers, version) -> None:
    others = answered_prediction(20.0, version, user=users["bob"])
    assert say(nobody, hers, species=None).status_code == 401
    alice = APIClient()
    alice.force_authenticate(users["alice"])
    assert error_of(say(alice, others, species=None)) == (404, "not_found")
    assert error_of(alice.post(f"{PREDICTIONS}/0/feedback", {"species": None}, format="json")) == (
        *(404, "not_found"),
    )
    assert Feedback.objects.count() == 0


@pytest.mark.parametrize("status", ["pending", "failed"])
def test_without_an_answer_there_is_nothing_to_judge(alice: APIClient, users, status) -> None:
    prediction = Prediction.objects.create(
        user=users["alice"], file="b.jpg", is_upload=True, status=status,
        error_code="not_an_image" if status == "failed" else "",
    )  # fmt: skip
    answer = say(alice, prediction, species=None)
    assert error_of(answer) == (409, "prediction_not_done")
    assert Feedback.objects.count() == 0


def test_feedback_goes_with_its_prediction(alice: APIClient, hers) -> None:
    say(alice, hers, species=None)
    assert alice.delete(f"{PREDICTIONS}/{hers.pk}").status_code == 204
    assert Feedback.objects.count() == 0
