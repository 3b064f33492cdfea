"""Polls of Mushroom Observer: what they find, once each, whatever happens meanwhile."""

import os
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from mlmodels.models import Species
from observations.models import NameBelowSpecies, Observation, QueueEntry, QueuePoll
from observations.mushroom_observer_services import observations_read_due
from observations.queue import collecting, polling, reading
from observations.queue.leases import queue_next, queue_release
from observations.queue.polling import NO_MODEL, queue_poll
from observations.queue.selectors import old_entries
from observations.services import (
    observation_decide,
    observation_finish,
    observations_finish,
)
from predictions.models import Photo, Prediction
from supervision.models import Alert
from supervision.monitoring.check_services import service_watch
from tests.support.mushroom_observer import MushroomObserver, api
from tests.support.mushroom_observer.content import API_KEYS, SYNONYMS, TEN
from tests.support.mushroom_observer.world import Observation as Find
from tests.support.paths import PROJECT
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, upload
from tests.support.stack import eventually
from tests.support.writes import Messages, click, put_key

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("lost_messages"),
]


@pytest.fixture
def site(mushroom_observer: MushroomObserver, production) -> MushroomObserver:
    return mushroom_observer


def worth_a_look(site: MushroomObserver) -> set[int]:
    """Return the ids of unsettled finds with a name of the ten species, or a synonym."""
    names = {*TEN, *(synonym for synonyms in SYNONYMS.values() for synonym in synonyms)}
    return {
        number
        for number, find in site.world.observations.items()
        if find.consensus[1] < 2
        and any(naming.name.text in names and naming.confidence < 2 for naming in find.namings)
    }


def in_queue() -> set[int]:
    return set(Observation.objects.values_list("mushroom_observer_id", flat=True))


def polled() -> QueuePoll:
    assert queue_poll()
    return QueuePoll.objects.get()


def looked_at() -> None:
    """Answer the photos of all finds as if they were the same two."""
    photos = [answered(upload(drawn_photo(number))) for number in (1, 2)]
    for number, prediction in enumerate(Prediction.objects.filter(status="pending")):
        source = photos[number % 2]
        Prediction.objects.filter(pk=prediction.pk).update(
            status="done", inference=source.inference, sha256=source.sha256, next_send_at=None
        )
    observations_finish()


def calls(site: MushroomObserver, kind: str) -> list:
    return [each for each in site.requests if each.path == f"/api2/{kind}"]


def test_a_poll_finds_what_is_worth_a_look_and_asks_for_its_photos_in_the_background(site) -> None:
    expected = worth_a_look(site)
    assert 5 < len(expected) < len(site.world.observations)
    poll = polled()
    assert (poll.error, poll.result != "") == ("", True)
    assert in_queue() == expected
    for observation in Observation.objects.all():
        there = site.world.observations[observation.mushroom_observer_id]
        assert (observation.source, observation.user) == ("queue", None)
        assert observation.url == f"{site.url}/observations/{there.id}"
        assert observation.photos.count() == len(there.images)
        assert [name.name for name in observation.names.all()] == [
            naming.name.text for naming in there.namings
        ]
    predictions = Prediction.objects.all()
    assert {(each.user, each.is_background) for each in predictions} == {(None, True)}
    assert len(calls(site, "observations")) == 1


def test_a_second_poll_asks_only_what_has_changed_since(site) -> None:
    polled()
    before = list(Observation.objects.order_by("pk").values())
    photos = Prediction.objects.count()
    site.requests.clear()
    poll = polled()
    assert poll.result == "Heard of 0 new or changed finds; 0 read at the site."
    assert [each.path for each in site.requests] == ["/api2/namings"]
    assert list(Observation.objects.order_by("pk").values()) == before
    assert Prediction.objects.count() == photos


def test_of_two_polls_at_once_the_second_does_nothing(site) -> None:
    site.manners.delay_s = 0.3
    outcomes: list[bool] = []

    def poll() -> None:
        try:
            outcomes.append(queue_poll())
        finally:
            connection.close()

    threads = [threading.Thread(target=poll) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == [False, False, True]
    assert in_queue() == worth_a_look(site)
    assert Observation.objects.count() == len(in_queue())
    assert len(calls(site, "observations")) == 1


CODE = """
from predictions import mushroom_observer_turns as turns
turns.MIN_GAP_S, turns.API_GAP_S = 0.01, 0.02
from observations.queue.polling import queue_poll
queue_poll()
"""


@pytest.mark.parametrize("kind", ["namings", "observations"])
def test_a_poll_goes_on_where_a_killed_worker_ended(site, kind: str) -> None:
    database = connection.settings_dict
    environment = os.environ | {
        "DATABASE_URL": f"postgres://{database['USER']}:{database['PASSWORD']}"
        f"@{database['HOST']}:{database['PORT']}/{database['NAME']}",
        "CHAMPIPY_MUSHROOM_OBSERVER_URL": site.url,
        "CHAMPIPY_FETCH_ALLOW": site.address,
    }
    site.manners.delay_s = 0.8
    process = subprocess.Popen(
        [sys.executable, "manage.py", "shell", "-c", CODE], cwd=PROJECT, env=environment
    )
    try:
        assert eventually(lambda: bool(calls(site, kind)), 60)
    finally:
        process.kill()
        process.wait()
    site.manners.delay_s = 0
    assert in_queue() == set()
    assert QueuePoll.objects.get().finished_at is None
    assert eventually(queue_poll, 20), "the lock goes with the process"
    assert in_queue() == worth_a_look(site)
    assert Observation.objects.count() == len(in_queue())


def test_what_was_read_before_a_worker_died_is_not_read_again(site, monkeypatch) -> None:
    take_in = reading.observation_take_in
    taken: list[int] = []

    def take_in_three(**arguments) -> None:
        if len(taken) == 3:
            raise SystemExit
        taken.append(arguments["observation"].mushroom_observer_id)
        take_in(**arguments)

    monkeypatch.setattr(reading, "observation_take_in", take_in_three)
    with pytest.raises(SystemExit):
        queue_poll()
    assert in_queue() == set(taken)
    photos = Prediction.objects.count()
    monkeypatch.setattr(reading, "observation_take_in", take_in)
    site.requests.clear()
    polled()
    [call] = calls(site, "observations")
    assert not {int(each) for each in call.parameters["id"].split(",")} & set(taken)
    assert in_queue() == worth_a_look(site)
    assert Observation.objects.count() == len(in_queue())
    assert Prediction.objects.count() > photos


def given(user) -> Observation:
    observation = queue_next(user=user)
    assert observation is not None
    return observation


def number_of(observation: Observation) -> int:
    assert observation.mushroom_observer_id is not None
    return observation.mushroom_observer_id


def find_of(site: MushroomObserver, observation: Observation) -> Find:
    return site.world.observations[number_of(observation)]


def votes(site: MushroomObserver, find: Find, value: float = 1) -> None:
    site.world.vote(find, find.namings[0], site.world.users[203], value)


def test_what_is_decided_or_skipped_comes_back_only_when_something_changed(site, users) -> None:
    alice = users["alice"]
    polled()
    looked_at()
    decided, skipped = given(alice), given(alice)
    observation_decide(observation=decided, decision="unsure", decision_name="", by=alice)
    queue_release(observation=skipped, user=alice)
    for each in QueueEntry.objects.exclude(observation__in=[decided, skipped]):
        each.observation.delete()
    polled()
    assert queue_next(user=alice) is None
    for observation in (decided, skipped):
        votes(site, find_of(site, observation))
    polled()
    looked_at()
    again = [given(alice), given(alice)]
    assert {each.mushroom_observer_id for each in again} == {
        decided.mushroom_observer_id,
        skipped.mushroom_observer_id,
    }
    decided.refresh_from_db()
    assert (decided.decision, decided.user) == ("unsure", alice), "it stays in her list"
    assert decided.pk not in {each.pk for each in again}
    assert skipped.pk in {each.pk for each in again}, "nobody decided about it"


def test_a_change_waits_while_a_verifier_holds_the_find(site, users) -> None:
    polled()
    looked_at()
    held = given(users["alice"])
    votes(site, find_of(site, held))
    polled()
    observation_decide(observation=held, decision="unsure", decision_name="", by=users["alice"])
    held.refresh_from_db()
    assert held.status == "done"
    polled()
    entry = QueueEntry.objects.get(mushroom_observer_id=number_of(held))
    assert entry.observation_id != held.pk


def test_what_is_settled_meanwhile_or_gone_leaves_the_queue(site, users) -> None:
    polled()
    looked_at()
    settled, gone = Observation.objects.order_by("pk")[:2]
    find = find_of(site, settled)
    for user in site.world.users.values():
        site.world.vote(find, find.namings[0], user, 3)
    votes(site, find_of(site, gone))
    QueueEntry.objects.filter(observation=gone).update(is_to_read=True)
    site.world.observations.pop(gone.mushroom_observer_id)
    polled()
    assert in_queue() == worth_a_look(site)
    assert not Observation.objects.filter(pk__in=[settled.pk, gone.pk]).exists()
    assert QueueEntry.objects.filter(observation=None).count() == 2
    assert Photo.objects.count() == 2


def test_a_contrary_vote_keeps_a_find_in_the_queue_however_sure_the_others_are(site, users) -> None:
    polled()
    looked_at()
    find = find_of(site, Observation.objects.order_by("pk")[0])
    contrary, *others = site.world.users.values()
    for user in others:
        site.world.vote(find, find.namings[0], user, 3)
    site.world.vote(find, find.namings[0], contrary, -2)
    assert find.consensus[1] >= 2
    polled()
    entry = QueueEntry.objects.get(mushroom_observer_id=find.id)
    assert find.id in in_queue()
    assert entry.observation is not None
    assert entry.observation.names.order_by("pk")[0].votes[-1] == -2, "it was read again"
    site.world.vote(find, find.namings[0], contrary, 3)
    polled()
    assert find.id not in in_queue()


def test_a_consensus_that_nobody_proposed_is_looked_up_too(site) -> None:
    site.manners.overrides = {
        "consensus": {"id": 7_777, "name": "Peziza miniata", "deprecated": True, "synonym_id": 1}
    }
    polled()
    [*asked] = calls(site, "names")
    assert any("7777" in each.parameters["id"] for each in asked if "id" in each.parameters)


def test_groups_are_asked_for_by_their_text_and_varieties_once_they_are_known(site) -> None:
    group, variety = (
        site.world.name_called(text).id
        for text in ("Lycogala epidendrum group", "Amanita muscaria var. guessowii")
    )
    polled()
    asked = set(QueuePoll.objects.get().name_ids)
    assert group in asked
    assert variety not in asked
    fly_agaric = Species.objects.get(name="Amanita muscaria")
    NameBelowSpecies.objects.create(name_id=variety, species=fly_agaric)
    site.requests.clear()
    polled()
    [call] = calls(site, "namings")
    assert {group, variety} <= {int(each) for each in call.parameters["name"].split(",")}


def test_a_variety_that_a_find_has_is_asked_for_from_then_on(site, users) -> None:
    name = site.world.name_called("Amanita muscaria var. guessowii")
    polled()
    find = Observation.objects.order_by("pk")[0]
    find.names.create(name=name.text, species="Amanita muscaria", key="x", name_id=name.id)
    site.requests.clear()
    polled()
    [call] = calls(site, "namings")
    assert str(name.id) in call.parameters["name"].split(",")


@pytest.mark.parametrize("fault", ["in_maintenance", "sends_html", "sends_half"])
def test_a_site_that_does_not_answer_is_told_on_the_queues_page_and_alarms_nobody(
    site, users, client, fault: str
) -> None:
    setattr(site.manners, fault, True)
    poll = polled()
    assert poll.error.startswith("Mushroom Observer ")
    assert poll.finished_at
    assert in_queue() == set()
    service_watch()
    assert not Alert.objects.exists()
    client.force_login(users["bob"])
    page = client.get("/admin/observations/queueentry/").content.decode()
    assert page.count(poll.error.replace("'", "&#x27;")) == 1
    setattr(site.manners, fault, False)
    if fault != "in_maintenance":  # then nobody asks until the time in Retry-After is over
        assert polled().error == ""
        assert in_queue() == worth_a_look(site)


def test_without_a_model_the_site_is_not_asked(mushroom_observer, users) -> None:
    assert polled().result == NO_MODEL
    assert mushroom_observer.requests == []


def test_without_namings_it_finds_by_the_consensus_and_notices_changes_in_a_day(
    site, users
) -> None:
    site.manners.has_namings = False
    polled()
    names = {*TEN, *(synonym for synonyms in SYNONYMS.values() for synonym in synonyms)}
    expected = {
        number
        for number in worth_a_look(site)
        if site.world.observations[number].consensus[0].text in names
    }
    assert expected
    assert expected <= in_queue() <= worth_a_look(site)
    looked_at()
    skipped = given(users["alice"])
    queue_release(observation=skipped, user=users["alice"])
    votes(site, find_of(site, skipped))
    polled()
    entry = QueueEntry.objects.get(observation=skipped)
    assert entry.skipped_by.exists(), "it was read today"
    QueueEntry.objects.update(read_at=timezone.now() - timedelta(days=2))
    polled()
    assert not entry.skipped_by.exists()


def test_more_names_than_a_page_has_are_collected_in_shorter_times(site, monkeypatch) -> None:
    monkeypatch.setattr(api, "LOW_PAGE", 8)
    polled()
    assert in_queue() == worth_a_look(site)
    assert 3 < len(calls(site, "namings")) <= collecting.MAX_CALLS + 1
    assert {each.parameters.get("page") for each in calls(site, "namings")} <= {None, "1"}


def test_a_poll_that_used_up_its_calls_goes_on_at_the_next(site, monkeypatch) -> None:
    monkeypatch.setattr(api, "LOW_PAGE", 3)
    monkeypatch.setattr(collecting, "MAX_CALLS", 6)
    polls = 0
    while in_queue() != worth_a_look(site):
        before = in_queue()
        polled()
        assert before <= in_queue()
        polls += 1
        assert polls < 20
    assert polls > 1


def test_a_poll_reads_no_more_while_enough_photos_or_finds_wait(site, monkeypatch) -> None:
    monkeypatch.setattr(reading, "PORTION", 2)
    monkeypatch.setattr(reading, "MAX_READS", 100)
    monkeypatch.setattr(reading, "MAX_PENDING_PHOTOS", 4)
    polled()
    assert 4 <= Prediction.objects.count() <= 4 + 2 * 6
    looked_at()
    count = Observation.objects.count()
    monkeypatch.setattr(reading, "MAX_WAITING", count)
    polled()
    assert Observation.objects.count() == count
    monkeypatch.setattr(reading, "MAX_WAITING", 1000)
    monkeypatch.setattr(reading, "MAX_PENDING_PHOTOS", 1000)
    polled()
    assert in_queue() == worth_a_look(site)


def test_a_find_whose_photos_cannot_be_had_is_tried_again_a_few_times(site) -> None:
    polled()
    tries = 0
    while Prediction.objects.filter(status="pending").exists():
        Prediction.objects.filter(status="pending").update(
            status="failed", error_code="image_unreachable", next_send_at=None
        )
        for observation in Observation.objects.filter(status="pending"):
            observation_finish(observation_id=observation.pk)
        assert set(Observation.objects.values_list("status", flat=True)) == {"failed"}
        polled()
        tries += 1
        assert tries < 10
    assert tries == reading.MAX_FAILURES + 1
    assert in_queue() == worth_a_look(site)


def test_names_that_the_site_does_not_know_do_not_stop_the_poll(site) -> None:
    species = Species.objects.get(name="Mycena haematopus")
    species.names.create(name="Mycena nonexistens", key="mycena nonexistens", kind="synonym")
    assert polled().error == ""
    assert in_queue() == worth_a_look(site)


def test_old_entries_are_forgotten_after_their_observations(site, settings) -> None:
    polled()
    now = timezone.now()
    assert not old_entries(now).exists()
    Observation.objects.all().delete()
    assert not old_entries(now).exists()
    later = now + timedelta(days=settings.CHAMPIPY_KEEP_PREDICTIONS_DAYS + 1)
    assert set(old_entries(later)) == set(QueueEntry.objects.all())
    settings.CHAMPIPY_KEEP_PREDICTIONS_DAYS = 0
    assert not old_entries(later).exists()


def test_the_admin_shows_the_queue_and_starts_a_poll(
    site, users, client, alice, monkeypatch
) -> None:
    sent: list[str] = []

    def send(name: str, **_: float) -> bool:
        sent.append(name)
        return True

    # Workers of other tests must not poll: they would hold the lock during the next test.
    monkeypatch.setattr(polling, "send_task", send)
    polled()
    looked_at()
    held = given(users["alice"])
    client.force_login(users["bob"])
    page = client.get("/admin/observations/queueentry/").content.decode()
    assert "alice until" in page
    assert "polling is switched off" in page or "There is no schedule" in page
    for state in ("waiting", "held", "decided", "to_read", "predicting", "failed"):
        assert client.get(f"/admin/observations/queueentry/?state={state}").status_code == 200
    only = client.get("/admin/observations/queueentry/?state=held").content.decode()
    assert only.count("alice until") == 1
    entry = QueueEntry.objects.get(observation=held)
    assert client.get(f"/admin/observations/queueentry/{entry.pk}/change/").status_code == 200
    assert client.get("/admin/observations/queueentry/poll/").status_code == 405
    response = client.post("/admin/observations/queueentry/poll/", follow=True)
    assert "A worker asks Mushroom Observer now" in response.content.decode()
    assert sent == [polling.POLL_TASK]
    client.force_login(users["alice"])
    assert client.get("/admin/observations/queueentry/").status_code == 302
    assert client.post("/admin/observations/queueentry/poll/").status_code == 302
    assert len(sent) == 1


def test_next_tells_what_the_queue_found(site, alice: APIClient) -> None:
    polled()
    looked_at()
    told = alice.post("/api/v1/observations/queue/next").json()
    there = site.world.observations[told["source"]["mushroom_observer"]]
    assert [photo["status"] for photo in told["photos"]] == ["done"] * len(there.images)
    assert [row["proposed"] for row in told["verdicts"]] == [
        naming.name.text for naming in there.namings
    ]
    assert told["status"] == "done"


def test_what_a_verifier_writes_there_through_champipy_is_no_news(
    site, users, alice: APIClient, monkeypatch
) -> None:
    Messages(monkeypatch)
    put_key(alice, API_KEYS["verifier"])
    polled()
    looked_at()
    observation = queue_next(user=users["alice"])
    assert observation is not None
    observation_decide(
        observation=observation, decision="unsure", decision_name="", by=users["alice"]
    )
    naming = observation.names.first()
    answer = click(alice, observation, "votes", naming=naming.naming_id, vote=1)
    assert answer.status_code == 200, answer.json()
    observations_read_due()
    looked_at()
    polled()
    number = observation.mushroom_observer_id or 0
    entry = QueueEntry.objects.get(mushroom_observer_id=number)
    assert entry.fingerprint == Observation.objects.get(pk=observation.pk).fingerprint
    assert entry.fingerprint != observation.fingerprint, "the vote was read"
    assert entry.observation_id == observation.pk, "it did not come back"
    there = site.world.observations[number]
    site.world.vote(there, there.namings[0], site.world.users[203], -1)
    # It may be the same second as the vote before, and the site tells no more than seconds.
    QueueEntry.objects.filter(pk=entry.pk).update(is_to_read=True)
    polled()
    entry.refresh_from_db()
    assert entry.observation_id != observation.pk, "others' votes bring it back"
