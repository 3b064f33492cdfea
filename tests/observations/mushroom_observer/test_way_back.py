"""What users click is written at Mushroom Observer once, and only on what they looked at."""

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection

from accounts.models import User
from mlmodels.models import Species, SpeciesName
from observations.models import MushroomObserverKey, MushroomObserverWrite, Observation
from observations.write_selectors import seen_of
from observations.write_services import write_send
from tests.support.api import client_of, error_of
from tests.support.mushroom_observer.content import API_KEYS
from tests.support.observations import OBSERVATIONS
from tests.support.writes import (
    ASYNC,
    KEY,
    WRITES,
    click,
    observation_of_the_site,
    put_key,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("messages")]
FIRST = 500_000
MINE = API_KEYS["verifier"]


@pytest.fixture
def observation(site, alice, users) -> Observation:
    """Return an observation that alice looks at, with her key stored."""
    put_key(alice, MINE)
    observation = observation_of_the_site(users["alice"], FIRST)
    site.requests.clear()
    return observation


@pytest.fixture
def accepted_name(db: None) -> None:
    """Let *Polyporus squamosus* be a synonym, as it is where nothing emptied the tables."""
    species, _ = Species.objects.get_or_create(name="Polyporus squamosus")
    accepted = {"name": "Cerioporus squamosus", "key": "cerioporus squamosus"}
    SpeciesName.objects.get_or_create(species=species, kind="accepted", defaults=accepted)


def naming_of(observation: Observation) -> int | None:
    return observation.names.get().naming_id


def test_a_vote_is_sent_on_one_naming_after_a_look(alice, site, observation) -> None:
    naming = site.world.observations[FIRST].namings[0]
    told = click(alice, observation, "votes", naming=naming.id, vote=-2)
    assert told.status_code == 200, told.json()
    assert [vote.value for vote in naming.votes if vote.user.id == 201] == [-2]
    body = told.json()
    assert (body["kind"], body["state"], body["ids"]) == ("vote", "sent", [naming.id])
    assert body["content"] == {"naming": naming.id, "vote": -2}
    assert (body["user"], body["observation"]) == ("alice", observation.pk)
    assert [(each.method, each.path) for each in site.requests] == [
        *(("GET", "/api2/observations"), ("PATCH", "/api2/namings")),
    ]
    assert site.requests[1].parameters["id"] == str(naming.id)
    assert alice.get(f"{WRITES}/{body['id']}").json() == body
    assert alice.get(WRITES).json() == {"next": None, "results": [body]}
    observation.refresh_from_db()
    assert observation.next_read_at is not None, "what it is there now has to be read"


def test_a_name_is_proposed_with_the_vote_three_unless_told_otherwise(
    alice, site, observation
) -> None:
    told = click(alice, observation, "namings", name="Russula emetica")
    assert told.status_code == 200, told.json()
    naming = site.world.observations[FIRST].namings[-1]
    assert (naming.name.text, naming.owner.id) == ("Russula emetica", 201)
    assert [vote.value for vote in naming.votes] == [3]
    assert site.writes[0][2]["vote"] == "3"
    assert told.json()["ids"] == [naming.id]


def test_a_name_that_is_proposed_already_is_refused(alice, site, observation) -> None:
    name = site.world.observations[FIRST].namings[0].name.text
    answer = click(alice, observation, "namings", name=name.upper(), vote=1)
    assert error_of(answer) == (409, "already_proposed")
    assert site.writes == []


def test_a_comment_is_shown_first_and_keeps_its_mark(alice, site, observation) -> None:
    path = f"{OBSERVATIONS}/{observation.pk}/mushroom-observer/comment"
    draft = alice.get(path).json()
    assert draft["summary"] == "ChampiPy: Aleuria aurantia, 95.11 %"
    assert draft["mark"] == "Made with the help of ChampiPy: _Aleuria aurantia_ 95.11 %."
    assert draft["seen"] == seen_of(observation)
    assert site.requests == site.writes == []
    said = {"summary": "Looks right", "content": "I agree.\n* by its colour"}
    told = click(alice, observation, "comment", **said)
    assert told.status_code == 200, told.json()
    [comment] = site.world.observations[FIRST].comments
    assert (comment.owner.id, comment.summary) == (201, "Looks right")
    assert comment.content == f"I agree.\n* by its colour\n\n{draft['mark']}"
    assert told.json()["content"]["content"] == comment.content


def test_a_mark_that_was_left_in_is_not_doubled(alice, site, observation) -> None:
    path = f"{OBSERVATIONS}/{observation.pk}/mushroom-observer/comment"
    draft = alice.get(path).json()
    click(alice, observation, "comment", summary="s", content=f"Yes.\n\n{draft['mark']}\n")
    [comment] = site.world.observations[FIRST].comments
    assert comment.content.count(draft["mark"]) == 1


@pytest.mark.parametrize("change", ["vote", "naming", "comment"])
def test_what_has_changed_since_is_not_written_on(alice, site, observation, change) -> None:
    there, world = site.world.observations[FIRST], site.world
    before = len(there.namings), len(there.comments)
    if change == "vote":
        world.vote(there, there.namings[0], world.users[203], -3)
    elif change == "naming":
        world.propose(there, world.name_called("Boletus edulis"), world.users[203])
    else:
        world.comment(there, world.users[203], "No", "Look at the spores")
    for part, said in (
        ("votes", {"naming": naming_of(observation), "vote": 3}),
        ("namings", {"name": "Russula emetica"}),
        ("comment", {"summary": "a", "content": "b"}),
    ):
        assert error_of(click(alice, observation, part, **said)) == (409, "observation_changed")
    assert site.writes == []
    assert (len(there.namings), len(there.comments)) >= before
    assert not MushroomObserverWrite.objects.exclude(state="failed").exists()
    observation.refresh_from_db()
    assert observation.next_read_at is not None


def test_a_change_between_the_look_and_the_click_is_noticed(alice, site, observation) -> None:
    site.manners.changes_after_look.add(FIRST)
    alices = User.objects.get(username="alice")
    observation = observation_of_the_site(alices, FIRST)  # a look, after which somebody votes
    answer = click(alice, observation, "votes", naming=naming_of(observation), vote=3)
    assert error_of(answer) == (409, "observation_changed")
    assert site.writes == []


def test_what_was_read_anew_meanwhile_has_to_be_looked_at(alice, site, observation) -> None:
    Observation.objects.filter(pk=observation.pk).update(fingerprint="f" * 64)
    answer = click(alice, observation, "votes", naming=naming_of(observation), vote=3)
    assert error_of(answer) == (409, "observation_changed")
    assert site.requests == []
    assert MushroomObserverWrite.objects.count() == 0


def test_a_double_click_is_one_write(alice, users, site, observation) -> None:
    barrier = threading.Barrier(4)

    def send(client) -> tuple[int, str]:
        barrier.wait()
        answer = click(client, observation, "namings", name="Russula emetica", headers=ASYNC)
        connection.close()
        return answer.status_code, answer.json()["id"]

    clients = [client_of(users["alice"]) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(send, clients))
    assert {status for status, _ in answers} <= {200, 202}
    assert len({number for _, number in answers}) == 1
    assert len(site.writes) == MushroomObserverWrite.objects.count() == 1
    again = click(alice, observation, "namings", name="Russula emetica")
    assert (again.status_code, again.json()["state"]) == (200, "sent")
    assert len(site.writes) == 1


def test_several_workers_at_once_send_one_write(alice, site, observation, messages) -> None:
    messages.at_once = False
    said = {"naming": naming_of(observation), "vote": 3}
    number = click(alice, observation, "votes", headers=ASYNC, **said).json()["id"]
    site.manners.delay_s = 0.3  # so that they meet
    barrier = threading.Barrier(3)

    def work(_: int) -> None:
        barrier.wait()
        write_send(write_id=number)
        connection.close()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(work, range(3)))
    assert len(site.writes) == 1
    assert MushroomObserverWrite.objects.get().state == "sent"


def test_another_click_waits_until_the_first_is_finished(
    alice, site, observation, messages
) -> None:
    messages.at_once = False
    first = click(alice, observation, "namings", name="Russula emetica", headers=ASYNC)
    assert (first.status_code, first.json()["state"]) == (202, "pending")
    assert first.headers["Location"] == f"{WRITES}/{first.json()['id']}"
    second = click(alice, observation, "namings", name="Boletus edulis", headers=ASYNC)
    assert error_of(second) == (409, "write_open")
    messages.work()
    assert [each[2]["name"] for each in site.writes] == ["Russula emetica"]


def test_the_same_idempotency_key_gets_the_same_write(alice, site, observation) -> None:
    headers = {"Idempotency-Key": "one"}
    said = {"naming": naming_of(observation), "vote": 1}
    first = click(alice, observation, "votes", headers=headers, **said)
    second = click(alice, observation, "votes", headers=headers, **said)
    assert first.json() == second.json()
    other = click(alice, observation, "votes", headers=headers, **said | {"vote": 2})
    assert error_of(other) == (422, "idempotency_key_reused")
    assert len(site.writes) == 1


@pytest.mark.parametrize(
    ("part", "said", "attr"),
    [
        ("votes", {"naming": 1, "vote": 2}, "naming"),
        ("votes", {"vote": 2}, "naming"),
        ("votes", {"naming": None, "vote": 4}, "vote"),
        ("votes", {"naming": None, "vote": 1.5}, "vote"),
        ("votes", {"naming": None, "vote": 1, "seen": "x"}, "seen"),
        ("votes", {"naming": None, "vote": 1, "id": 5}, "id"),
        ("namings", {"name": "12"}, "name"),
        ("namings", {"name": "Russula emetica", "vote": -4}, "vote"),
        ("comment", {"summary": "x" * 101, "content": "y"}, "summary"),
        ("comment", {"summary": "x", "content": " "}, "content"),
        ("comment", {"summary": "a\0b", "content": "y"}, "summary"),
        ("comment", {"summary": "x", "content": "y" * 10_001}, "content"),
    ],
)
def test_a_malformed_request_sends_nothing(alice, site, observation, part, said, attr) -> None:
    if "naming" in said and said["naming"] is None:
        said = said | {"naming": naming_of(observation)}
    answer = click(alice, observation, part, **said)
    assert answer.status_code == 400
    assert [error["attr"] for error in answer.json()["errors"]] == [attr]
    assert site.requests == []
    assert MushroomObserverWrite.objects.count() == 0


def test_nobody_writes_on_others_observations_or_sees_what_they_wrote(
    alice, bob, users, site, observation
) -> None:
    clementine = client_of(users["clementine"])
    said = {"naming": naming_of(observation), "vote": 3}
    assert error_of(click(clementine, observation, "votes", **said)) == (
        *(404, "observation_not_found"),
    )
    assert error_of(click(bob, observation, "votes", **said)) == (
        *(409, "mushroom_observer_key_missing"),
    )
    number = click(alice, observation, "votes", **said).json()["id"]
    assert clementine.get(f"{WRITES}/{number}").status_code == 404
    assert clementine.get(WRITES).json()["results"] == []
    assert bob.get(f"{WRITES}/{number}").json()["user"] == "alice"
    assert len(site.writes) == 1


def test_without_a_key_or_from_elsewhere_nothing_is_sent(alice, users, site, observation) -> None:
    said = {"naming": naming_of(observation), "vote": 3}
    alice.delete(KEY)
    assert error_of(click(alice, observation, "votes", **said)) == (
        *(409, "mushroom_observer_key_missing"),
    )
    own = Observation.objects.create(user=users["alice"])
    path = f"{OBSERVATIONS}/{own.pk}/mushroom-observer/comment"
    assert error_of(alice.get(path)) == (409, "not_from_mushroom_observer")
    body = json.dumps({"seen": "0" * 64, "name": "Russula emetica"})
    answer = alice.post(path.replace("comment", "namings"), body, content_type="application/json")
    assert error_of(answer) == (409, "not_from_mushroom_observer")
    assert site.requests == []


def test_a_key_that_is_deleted_after_the_click_sends_nothing(
    alice, site, observation, messages
) -> None:
    messages.at_once = False
    said = {"naming": naming_of(observation), "vote": 3}
    number = click(alice, observation, "votes", headers=ASYNC, **said).json()["id"]
    alice.delete(KEY)
    messages.work()
    told = alice.get(f"{WRITES}/{number}").json()
    assert (told["state"], told["error"]["code"]) == ("failed", "mushroom_observer_key_missing")
    assert site.requests == []


def test_a_deactivated_user_sends_nothing(alice, users, site, observation, messages) -> None:
    messages.at_once = False
    click(alice, observation, "namings", name="Russula emetica", headers=ASYNC)
    User.objects.filter(username="alice").update(is_active=False)
    messages.work()
    assert MushroomObserverWrite.objects.get().state == "failed"
    assert site.requests == []


def test_a_key_that_the_site_no_longer_knows_is_not_kept(alice, site, observation) -> None:
    site.world.users[201].api_key = "another"
    answer = click(alice, observation, "votes", naming=naming_of(observation), vote=3)
    assert error_of(answer) == (422, "mushroom_observer_refused")
    assert MINE not in answer.content.decode()
    assert alice.get(KEY).json()["status"] == "refused"
    assert site.writes == []


def test_what_the_site_refuses_is_told_and_may_be_clicked_again(alice, site, observation) -> None:
    answer = click(alice, observation, "namings", name="Fungus nonexistens")
    assert error_of(answer) == (422, "mushroom_observer_refused")
    assert "There is no name: Fungus nonexistens" in answer.json()["errors"][0]["detail"]
    again = click(alice, observation, "namings", name="Fungus nonexistens")
    assert again.status_code == 422
    assert MushroomObserverWrite.objects.filter(state="failed").count() == 2


def test_in_maintenance_nothing_is_sent_and_nothing_waits(alice, site, observation) -> None:
    site.manners.in_maintenance = True
    answer = click(alice, observation, "namings", name="Russula emetica")
    assert error_of(answer) == (503, "mushroom_observer_unavailable")
    assert "maintenance" in answer.json()["errors"][0]["detail"]
    assert site.writes == []
    assert MushroomObserverWrite.objects.get().next_step_at is None


def test_writes_stay_when_their_user_or_observation_goes(alice, bob, users, observation) -> None:
    click(alice, observation, "namings", name="Russula emetica")
    observation.delete()
    users["alice"].delete()
    write = MushroomObserverWrite.objects.get()
    assert (write.user, write.observation, write.state) == (None, None, "sent")
    [told] = bob.get(WRITES).json()["results"]
    assert (told["user"], told["observation"], told["mushroom_observer"]) == (None, None, FIRST)


def test_administrators_see_all_writes_and_change_none(alice, users, observation, client) -> None:
    click(alice, observation, "namings", name="Russula emetica")
    client.force_login(users["bob"])
    path = "/admin/observations/mushroomobserverwrite/"
    page = client.get(path).content.decode()
    assert "Russula emetica" in page
    assert client.get(f"{path}?q=alice").content.decode().count("Russula emetica") == 1
    assert client.get(f"{path}?q={FIRST}&state__exact=failed").status_code == 200
    number = MushroomObserverWrite.objects.get().pk
    one = client.get(f"{path}{number}/change/")
    assert one.status_code == 200
    assert MINE not in page + one.content.decode()
    assert client.get(f"{path}add/").status_code == 403
    assert client.post(f"{path}{number}/delete/").status_code == 403
    assert client.get("/admin/observations/mushroomobserverkey/").status_code == 404


@pytest.mark.usefixtures("accepted_name")
def test_links_lead_into_the_sites_own_pages(alice, site, observation, users) -> None:
    told = alice.get(f"{OBSERVATIONS}/{observation.pk}").json()
    page = f"{site.url}/observations/{FIRST}"
    assert told["links"] == {
        "page": page,
        "propose": f"{page}/namings/new?naming=Aleuria+aurantia",
        "suggestions": None,  # its photos are not stored here
    }
    assert told["source"]["seen"] == seen_of(observation)
    observation.answer["predictions"][0]["species"] = "Polyporus squamosus"
    observation.save()
    told = alice.get(f"{OBSERVATIONS}/{observation.pk}").json()
    assert told["links"]["propose"].endswith("?naming=Cerioporus+squamosus")
    observation.answer["scope"]["in_scope"] = False
    observation.save()
    assert alice.get(f"{OBSERVATIONS}/{observation.pk}").json()["links"]["propose"] is None
    own = Observation.objects.create(user=users["alice"])
    assert alice.get(f"{OBSERVATIONS}/{own.pk}").json()["links"] is None


def test_no_key_is_in_a_log_line_an_answer_or_a_row(
    alice, users, site, observation, caplog
) -> None:
    caplog.set_level(logging.DEBUG)
    told = ""
    for switch in (None, "fails_writes_after", "sends_html", "in_maintenance"):
        observation = observation_of_the_site(users["alice"], FIRST)
        if switch:
            setattr(site.manners, switch, True)
        answer = click(alice, observation, "comment", summary=f"{switch}", content="c")
        told += f"{answer.status_code} {answer.content.decode()}"
        setattr(site.manners, switch or "delay_s", False)
        MushroomObserverWrite.objects.filter(state="unknown").update(state="failed")
        told += json.dumps(list(MushroomObserverWrite.objects.values()), default=str)
    told += caplog.text
    assert [code for code in ("200", "202", "503") if code in told] == ["200", "202", "503"]
    assert len(site.writes) == 2
    assert caplog.text
    assert MINE not in told
    assert MushroomObserverKey.objects.get().ciphertext not in told


@pytest.mark.usefixtures("accepted_name")
def test_suggestions_have_the_scores_of_each_photo_in_scope(
    alice, site, observation, production
) -> None:
    from observations.services import photos_add
    from tests.support.photos import drawn_photo
    from tests.support.predictions import answered, upload

    predictions = [answered(upload(drawn_photo(number))) for number in (1, 2)]
    photos_add(observation=observation, predictions=predictions)
    first, second = (each.inference for each in predictions)
    type(first).objects.update(in_scope=True)
    type(first).objects.filter(pk=second.pk).update(in_scope=False)
    told = alice.get(f"{OBSERVATIONS}/{observation.pk}").json()
    query = parse_qs(urlsplit(told["links"]["suggestions"]).query)
    [photo] = json.loads(query["names"][0])
    names = {"Polyporus squamosus": "Cerioporus squamosus"}
    expected = [
        [names.get(species, species), round(score, 2)]
        for species, score in first.best(3)
        if score >= 1
    ]
    assert photo == expected
    draft = alice.get(f"{OBSERVATIONS}/{observation.pk}/mushroom-observer/comment").json()
    assert draft["mark"].startswith(f"Made with the help of ChampiPy ({production}): ")
    assert draft["content"].startswith("ChampiPy looked at 2 photos: ")
