"""The page of one find: names that are proposed later, decision, note, deletion."""

import pytest
from django.core.files.base import ContentFile
from django.test import Client

from accounts.models import User
from mlmodels.selectors import production_version
from observations.models import Observation, ProposedName
from observations.services import observation_create
from predictions.models import Photo, Prediction
from tests.support.observations import finished
from tests.support.pages import HTMX, browser_of, submit
from tests.support.photos import drawn_photo
from tests.support.predictions import unsent

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("production", "lost_messages"),
]


@pytest.fixture
def find(users: dict[str, User]) -> Observation:
    """Return an answered find of alice's with one proposed name."""
    observation = observation_create(
        user=users["alice"],
        photos=[ContentFile(drawn_photo(900), name="a.jpg")],
        proposed=["Amanita muscaria"],
        version=production_version(),
        send=unsent,
    )
    finished()
    observation.refresh_from_db()
    return observation


@pytest.fixture
def client(users: dict[str, User]) -> Client:
    return browser_of(users["alice"])


def names(find: Observation) -> dict[str, str]:
    return dict(find.names.values_list("name", "verdict"))


def test_a_name_that_is_proposed_later_is_judged_without_scoring_again(
    find: Observation, client: Client
) -> None:
    asked = Prediction.objects.count()
    proposed = {"proposed": ["Amanita muscaria", "Boletus edulis", "Coprinus comatus", ""]}
    card = submit(client, f"/finds/{find.pk}/names", proposed, **HTMX).text
    told = names(find)
    assert list(told) == ["Amanita muscaria", "Boletus edulis", "Coprinus comatus"]
    assert told["Boletus edulis"] == "not_covered"
    assert told["Coprinus comatus"] in ("undecided", "contradicted")
    assert "Coprinus comatus" in card and "<html" not in card
    assert Prediction.objects.count() == asked
    judged = ProposedName.objects.get(name="Coprinus comatus")
    with_photos = observation_create(
        user=None,
        photos=[ContentFile(drawn_photo(900), name="a.jpg")],
        proposed=["Coprinus comatus"],
        version=production_version(),
    )
    assert with_photos.names.get().score == judged.score, "as if it had been asked at once"
    assert submit(client, f"/finds/{find.pk}/names", {}).headers["Location"] == f"/finds/{find.pk}"
    assert names(find) == {}


def test_no_browser_keeps_the_page_after_the_logout(find: Observation, client: Client) -> None:
    for path in ("/", f"/finds/{find.pk}", f"/finds/{find.pk}/why"):
        assert client.get(path).headers["Cache-Control"] == "private, no-store"


def test_names_of_the_site_and_the_decided_one_stay(find: Observation, client: Client) -> None:
    ProposedName.objects.create(observation=find, name="Of the site", key="of the", naming_id=7)
    submit(
        client,
        f"/finds/{find.pk}/decision",
        {"decision": "agree", "decision_name": "Amanita muscaria"},
    )
    bad = submit(client, f"/finds/{find.pk}/names", {"proposed": ["<i>"]}, **HTMX).text
    assert "“&lt;i&gt;” was left out" in bad
    assert set(names(find)) == {"Amanita muscaria", "Of the site"}


def test_a_decision_and_a_note_are_stored_and_withdrawn(find: Observation, client: Client) -> None:
    path = f"/finds/{find.pk}/decision"
    submit(client, path, {"decision": "disagree", "decision_name": "Amanita muscaria"})
    submit(client, path, {"note": "Gills are <white>."})
    find.refresh_from_db()
    told = (find.decision, find.decision_name, find.note)
    assert told == ("disagree", "Amanita muscaria", "Gills are <white>.")
    page = client.get(f"/finds/{find.pk}").text
    assert 'value="disagree" aria-pressed="true"' in page and "&lt;white&gt;" in page
    for wrong in (
        {"decision": "eat"},
        {"decision": "agree", "decision_name": "Boletus edulis"},
        {"note": "x" * 2001},
    ):
        submit(client, path, wrong)
        find.refresh_from_db()
        assert (find.decision, find.decision_name, find.note) == told
        assert 'class="error"' in client.get(f"/finds/{find.pk}").text
    submit(client, path, {"decision": "withdraw"})
    find.refresh_from_db()
    assert (find.decision, find.decided_at, find.note) == ("", None, "Gills are <white>.")


def test_a_deleted_find_is_gone_with_its_photo(find: Observation, client: Client) -> None:
    assert submit(client, f"/finds/{find.pk}/delete").headers["Location"] == "/"
    assert not Observation.objects.exists()
    assert not Photo.objects.exists()
    assert client.get(f"/finds/{find.pk}").status_code == 404


@pytest.mark.parametrize("action", ["names", "decision", "delete"])
def test_finds_of_others_and_forms_of_other_sites_change_nothing(
    find: Observation, users: dict[str, User], client: Client, action: str
) -> None:
    path = f"/finds/{find.pk}/{action}"
    fields = {"proposed": ["A b"], "decision": "agree", "decision_name": "Amanita muscaria"}
    assert submit(browser_of(users["clementine"]), path, fields).status_code == 404
    assert client.post(path, fields).status_code == 403
    assert client.get(path).status_code == 405
    find.refresh_from_db()
    assert find.decision == ""
    assert list(names(find)) == ["Amanita muscaria"]
