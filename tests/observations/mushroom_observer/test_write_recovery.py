"""What a dead worker or a silent site leaves is looked for there, and never sent again blindly."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from common.valkey import valkey_client
from observations import write_services
from observations.models import MushroomObserverKey, MushroomObserverWrite, Observation
from observations.write_recovery import LOOKS_FOR_LOST_WORKER, MAX_LOOKS, write_look
from observations.write_services import write_done, write_send
from observations.write_work import clicks_work
from tests.support.api import error_of
from tests.support.mushroom_observer.content import API_KEYS
from tests.support.paths import PROJECT
from tests.support.stack import eventually
from tests.support.writes import ASYNC, WRITES, click, observation_of_the_site, put_key

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("messages")]
FIRST = 500_000
MINE = API_KEYS["verifier"]


@pytest.fixture
def observation(site, alice, users) -> Observation:
    put_key(alice, MINE)
    observation = observation_of_the_site(users["alice"], FIRST)
    site.requests.clear()
    return observation


@pytest.fixture
def lost_answers(site) -> None:
    """Let writes be done at the site, and their answers be lost."""
    site.manners.fails_writes_after = True


def is_due() -> None:
    """Let as much time go by as the next step of each write waits for."""
    MushroomObserverWrite.objects.exclude(next_step_at=None).update(next_step_at=timezone.now())


def said(kind: str, observation: Observation) -> tuple[str, dict[str, Any]]:
    """Return the part to post to, and what to say there."""
    name = observation.names.get()
    parts: dict[str, tuple[str, dict[str, Any]]] = {
        "vote": ("votes", {"naming": name.naming_id, "vote": -3}),
        "naming": ("namings", {"name": "Russula emetica", "vote": 2}),
        "comment": ("comment", {"summary": "Seen", "content": "Fine"}),
    }
    return parts[kind]


@pytest.mark.usefixtures("lost_answers")
@pytest.mark.parametrize("kind", ["vote", "naming", "comment"])
def test_what_was_done_without_an_answer_is_found_at_the_site(
    alice, site, observation, kind
) -> None:
    part, what = said(kind, observation)
    answer = click(alice, observation, part, **what)
    assert (answer.status_code, answer.json()["state"]) == (202, "unknown")
    assert answer.json()["error"]["code"] == "mushroom_observer_outcome_unknown"
    clicks_work()
    assert len(site.writes) == 1
    assert MushroomObserverWrite.objects.get().state == "unknown", "it is too early to look"
    again = click(alice, observation, part, **what)
    assert again.json()["id"] == answer.json()["id"]
    is_due()
    clicks_work()
    told = alice.get(f"{WRITES}/{answer.json()['id']}").json()
    assert (told["state"], told["error"]) == ("sent", None)
    there = site.world.observations[FIRST]
    assert (
        told["ids"]
        == {
            "vote": [there.namings[0].id],
            "naming": [there.namings[-1].id],
            "comment": [each.id for each in there.comments],
        }[kind]
    )
    write = MushroomObserverWrite.objects.get()
    assert write.answer == {"ids": told["ids"], "was_found": True}
    assert len(site.writes) == 1


@pytest.mark.parametrize("kind", ["vote", "naming", "comment"])
def test_what_was_not_done_may_be_clicked_again(alice, site, observation, kind, messages) -> None:
    messages.at_once = False
    part, what = said(kind, observation)
    click(alice, observation, part, **what, headers=ASYNC)
    messages.clear()  # the worker took it, and died before anything reached the site
    MushroomObserverWrite.objects.update(state="sending", sent_at=timezone.now())
    messages.at_once = True
    for _ in range(LOOKS_FOR_LOST_WORKER - 1):
        is_due()
        clicks_work()
        write = MushroomObserverWrite.objects.get()
        assert write.state == "unknown", "the worker may only be suspended"
        assert "Look at the observation there" in write.error_detail
    is_due()
    clicks_work()
    write = MushroomObserverWrite.objects.get()
    assert (write.state, write.error_code) == ("failed", "mushroom_observer_not_done")
    assert site.writes == []
    assert click(alice, observation, part, **what).json()["state"] == "sent"
    assert len(site.writes) == 1


@pytest.mark.parametrize("is_clicked_again", [False, True])
def test_a_suspended_worker_that_tells_late_that_it_was_done_is_believed(
    alice, site, observation, messages, is_clicked_again
) -> None:
    messages.at_once = False
    part, what = said("comment", observation)
    number = click(alice, observation, part, **what, headers=ASYNC).json()["id"]
    write = MushroomObserverWrite.objects.get()
    MushroomObserverWrite.objects.update(
        state="failed", error_code="mushroom_observer_not_done", next_step_at=None
    )
    if is_clicked_again:
        again = click(alice, observation, part, **what, headers=ASYNC).json()["id"]
        assert again != number
    write_done(write, ids=[7], site_user_id=201)
    told = alice.get(f"{WRITES}/{number}").json()
    assert told["ids"] == [7]
    assert told["state"] == ("failed" if is_clicked_again else "sent")
    if is_clicked_again:
        assert "It was done after all" in told["error"]["detail"]


def test_a_worker_that_stopped_before_it_sent_loses_the_write_to_another(
    alice, site, observation, messages, settings
) -> None:
    messages.at_once = False
    part, what = said("naming", observation)
    number = click(alice, observation, part, **what, headers=ASYNC).json()["id"]
    messages.clear()
    worker = _worker(number, settings)
    try:
        assert eventually(lambda: MushroomObserverWrite.objects.get().state == "sending", 60)
        worker.send_signal(signal.SIGSTOP)  # its turn to write comes five seconds after the look
        assert MushroomObserverWrite.objects.get().sent_at is None
        is_due()
        valkey_client().delete("champipy:mushroom_observer:turns")
        clicks_work()
        write = MushroomObserverWrite.objects.get()
        assert (write.state, len(site.writes)) == ("sent", 1)
        worker.send_signal(signal.SIGCONT)
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()
    assert len(site.writes) == 1
    assert MushroomObserverWrite.objects.get().state == "sent"


@pytest.mark.usefixtures("lost_answers")
def test_an_anonymous_vote_may_be_the_one_that_is_looked_for(alice, site, observation) -> None:
    part, what = said("vote", observation)
    click(alice, observation, part, **what)
    [naming] = site.world.observations[FIRST].namings
    site.manners.overrides = {
        "votes": [{"id": 1, "naming_id": naming.id, "confidence": "-3.0"}],  # whose is not told
    }
    is_due()
    clicks_work()
    write = MushroomObserverWrite.objects.get()
    assert (write.state, write.next_step_at) == ("unknown", None)
    assert "could not be found out" in write.error_detail


def test_others_namings_and_earlier_comments_are_not_taken_for_it(
    alice, site, observation, users
) -> None:
    there, world = site.world.observations[FIRST], site.world
    world.comment(there, world.users[201], "Seen", "an earlier one")
    observation = observation_of_the_site(users["alice"], FIRST)
    site.manners.fails_writes_after = True
    click(alice, observation, "comment", summary="Seen", content="Fine")
    there.comments.pop()
    world.comment(there, world.users[203], "Seen", "somebody else's")
    is_due()
    clicks_work()
    assert MushroomObserverWrite.objects.get().error_code == "mushroom_observer_not_done"


@pytest.mark.usefixtures("lost_answers")
def test_while_the_site_is_away_it_is_looked_for_again_later(alice, site, observation) -> None:
    part, what = said("naming", observation)
    click(alice, observation, part, **what)
    site.manners.sends_html = True
    is_due()
    clicks_work()
    write = MushroomObserverWrite.objects.get()
    assert (write.state, write.looks) == ("unknown", 1)
    assert write.next_step_at is not None
    assert write.next_step_at > timezone.now() + timedelta(minutes=2)
    write_look(write_id=write.pk)
    assert MushroomObserverWrite.objects.get().looks == 1, "not before its time"
    MushroomObserverWrite.objects.update(looks=MAX_LOOKS - 1)
    is_due()
    clicks_work()
    write = MushroomObserverWrite.objects.get()
    assert (write.state, write.next_step_at) == ("unknown", None)
    assert "could not be found out" in write.error_detail
    site.manners.sends_html = False
    again = click(alice, observation, part, **what).json()
    assert (again["id"], again["state"]) == (write.pk, "unknown")
    clicks_work()
    assert MushroomObserverWrite.objects.get().state == "sent"
    assert len(site.writes) == 1


def test_whose_key_it_was_is_asked_if_it_was_not_known(alice, site, observation) -> None:
    MushroomObserverKey.objects.update(status="unchecked", site_user_id=None)
    site.manners.fails_writes_after = True
    part, what = said("vote", observation)
    click(alice, observation, part, **what)
    assert MushroomObserverWrite.objects.get().site_user_id is None
    is_due()
    clicks_work()
    write = MushroomObserverWrite.objects.get()
    assert (write.state, write.site_user_id) == ("sent", 201)
    assert len(site.writes) == 1


def test_what_is_unknown_for_good_blocks_no_other_click(alice, site, observation, users) -> None:
    MushroomObserverKey.objects.update(status="unchecked", site_user_id=None)
    site.manners.fails_writes_after = True
    part, what = said("comment", observation)
    click(alice, observation, part, **what)
    site.manners.leaves_out = frozenset({"user"})
    is_due()
    clicks_work()
    write = MushroomObserverWrite.objects.get()
    assert (write.state, write.next_step_at) == ("unknown", None)
    site.manners.fails_writes_after, site.manners.leaves_out = False, frozenset()
    again = observation_of_the_site(users["alice"], FIRST)
    part, what = said("vote", again)
    assert click(alice, again, part, **what).json()["state"] == "sent"


def test_a_lost_message_is_sent_again_and_an_old_click_is_given_up(
    alice, site, observation, messages
) -> None:
    messages.at_once = False
    part, what = said("vote", observation)
    click(alice, observation, part, **what, headers=ASYNC)
    messages.clear()
    messages.at_once = True
    MushroomObserverWrite.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    clicks_work()
    write = MushroomObserverWrite.objects.get()
    assert (write.state, write.error_code) == ("failed", "mushroom_observer_unavailable")
    assert site.requests == []
    messages.at_once = False
    click(alice, observation, part, **what, headers=ASYNC)
    messages.clear()
    messages.at_once = True
    clicks_work()
    assert MushroomObserverWrite.objects.order_by("-id")[0].state == "sent"
    assert len(site.writes) == 1


def test_a_worker_that_lost_its_write_sends_nothing(
    alice, site, observation, messages, monkeypatch
) -> None:
    read = write_services.observation_read

    def slow_read(*arguments, **options):
        MushroomObserverWrite.objects.update(next_step_at=timezone.now())  # another one may take it
        return read(*arguments, **options)

    monkeypatch.setattr(write_services, "observation_read", slow_read)
    messages.at_once = False
    part, what = said("vote", observation)
    number = click(alice, observation, part, **what, headers=ASYNC).json()["id"]
    write_send(write_id=number)
    assert MushroomObserverWrite.objects.get().state == "pending"
    assert site.writes == []


def test_a_worker_killed_between_sending_and_the_answer_leaves_one_write(
    alice, site, observation, messages, settings
) -> None:
    messages.at_once = False
    part, what = said("naming", observation)
    number = click(alice, observation, part, **what, headers=ASYNC).json()["id"]
    messages.clear()
    worker = _worker(number, settings)
    try:
        assert eventually(lambda: len(site.requests) == 1, 60), "the look"
        site.manners.delay_s = 3  # the write is done after that, and nobody hears of it
        assert eventually(lambda: len(site.requests) == 2, 60), "the write"
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    write = MushroomObserverWrite.objects.get()
    assert (write.state, len(write.known_ids)) == ("sending", len(observation.names.all()))
    assert eventually(lambda: len(site.writes) == 1, 20), "it arrived all the same"
    site.manners.delay_s = 0
    again = click(alice, observation, part, **what, headers=ASYNC)
    assert again.json()["id"] == number
    second = click(alice, observation, "namings", name="Boletus edulis", headers=ASYNC)
    assert error_of(second) == (409, "write_open")
    messages.at_once = True
    is_due()
    clicks_work()
    assert alice.get(f"{WRITES}/{number}").json()["state"] == "sent"
    assert len(site.writes) == 1


def _worker(write_id: int, settings) -> subprocess.Popen:
    """Send a write in a process of its own, whose turns at the site take five seconds."""
    database = connection.settings_dict
    address = f"{database['HOST']}:{database['PORT']}/{database['NAME']}"
    environment = os.environ | {
        "DATABASE_URL": f"postgres://{database['USER']}:{database['PASSWORD']}@{address}",
        "CHAMPIPY_FETCH_ALLOW": ",".join(settings.CHAMPIPY_FETCH_ALLOW),
        "CHAMPIPY_MUSHROOM_OBSERVER_URL": settings.CHAMPIPY_MUSHROOM_OBSERVER_URL,
        "CHAMPIPY_HOME": str(django_settings.CHAMPIPY_HOME),
        "DJANGO_SETTINGS_MODULE": "champipy_site.settings",
    }
    program = (
        "import django; django.setup(); from observations.write_services import write_send; "
        f"write_send(write_id={write_id})"
    )
    return subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT, env=environment)
