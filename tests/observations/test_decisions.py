"""`PATCH /observations/{id}`: what a verifier decides, and what is refused."""

import pytest
from rest_framework.test import APIClient

from observations.models import Observation
from observations.services import names_add
from tests.support.api import error_of
from tests.support.observations import OBSERVATIONS

pytestmark = pytest.mark.django_db

NAMES = ["Peziza aurantia", "Amanita muscaria"]


@pytest.fixture
def observation(users) -> Observation:
    observation = Observation.objects.create(user=users["alice"])
    names_add(observation=observation, proposed=NAMES)
    return observation


def patch(client: APIClient, observation: Observation, body: object):
    return client.patch(f"{OBSERVATIONS}/{observation.pk}", body, format="json")


def test_a_decision_is_kept_changed_and_withdrawn(alice: APIClient, observation) -> None:
    agreed = patch(alice, observation, {"decision": "agree", "decision_name": NAMES[0]})
    assert agreed.status_code == 200
    told = agreed.json()
    assert (told["decision"], told["decision_name"], told["note"]) == ("agree", NAMES[0], "")
    assert told["decided_at"] is not None
    noted = patch(alice, observation, {"note": "by its spores"}).json()
    assert noted == told | {"note": "by its spores"}
    unsure = patch(alice, observation, {"decision": "unsure"}).json()
    assert (unsure["decision"], unsure["decision_name"]) == ("unsure", None)
    assert unsure["note"] == "by its spores"
    withdrawn = patch(alice, observation, {"decision": None}).json()
    assert withdrawn["decision"] is withdrawn["decision_name"] is withdrawn["decided_at"] is None
    assert alice.get(f"{OBSERVATIONS}/{observation.pk}").json() == withdrawn


def test_the_name_may_be_left_out_where_there_is_only_one(alice: APIClient, users) -> None:
    observation = Observation.objects.create(user=users["alice"])
    names_add(observation=observation, proposed=NAMES[:1])
    told = patch(alice, observation, {"decision": "disagree"}).json()
    assert (told["decision"], told["decision_name"]) == ("disagree", NAMES[0])


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"decision": "perhaps"}, "decision"),
        ({"decision": ""}, "decision"),
        ({"decision": "agree"}, "decision_name"),
        ({"decision": "agree", "decision_name": "Russula emetica"}, "decision_name"),
        ({"decision": "agree", "decision_name": "Aleuria aurantia"}, "decision_name"),
        ({"decision": "agree", "decision_name": 5}, "decision_name"),
        ({"decision_name": NAMES[0]}, "decision_name"),
        ({"status": "done"}, "status"),
        ({"note": "x" * 2001}, "note"),
        ({"note": "a\0b"}, "note"),
        ({"note": None}, "note"),
        ([], None),
        ("agree", None),
    ],
)
def test_what_is_no_decision_is_refused_and_changes_nothing(
    alice: APIClient, observation, body, attr
) -> None:
    before = alice.get(f"{OBSERVATIONS}/{observation.pk}").json()
    response = patch(alice, observation, body)
    assert response.status_code == 400
    assert attr is None or [error["attr"] for error in response.json()["errors"]] == [attr]
    assert alice.get(f"{OBSERVATIONS}/{observation.pk}").json() == before


def test_nothing_can_be_agreed_with_where_no_name_was_proposed(alice: APIClient, users) -> None:
    observation = Observation.objects.create(user=users["alice"])
    response = patch(alice, observation, {"decision": "agree"})
    assert response.status_code == 400
    assert "No name was proposed" in response.json()["errors"][0]["detail"]
    assert patch(alice, observation, {"decision": "unsure"}).status_code == 200


def test_only_its_owner_and_administrators_see_decide_and_delete_it(
    alice: APIClient, bob: APIClient, users
) -> None:
    hers = Observation.objects.create(user=users["clementine"])
    path = f"{OBSERVATIONS}/{hers.pk}"
    for response in (
        alice.get(path),
        alice.patch(path, {"decision": "unsure"}, format="json"),
        alice.delete(path),
        alice.get(f"{OBSERVATIONS}/999999"),
    ):
        assert error_of(response) == (404, "observation_not_found")
    assert alice.get(OBSERVATIONS).json()["results"] == []
    hers.refresh_from_db()
    assert hers.decision == ""
    assert [row["id"] for row in bob.get(OBSERVATIONS).json()["results"]] == [hers.pk]
    assert bob.patch(path, {"decision": "unsure"}, format="json").status_code == 200
    assert bob.delete(path).status_code == 204


def test_an_observation_deleted_meanwhile_is_a_404(
    alice: APIClient, observation, monkeypatch
) -> None:
    from observations.api import views

    decide = views.observation_decide

    def delete_and_decide(**arguments):
        Observation.objects.all().delete()
        return decide(**arguments)

    monkeypatch.setattr(views, "observation_decide", delete_and_decide)
    response = patch(alice, observation, {"decision": "unsure"})
    assert error_of(response) == (404, "observation_not_found")
