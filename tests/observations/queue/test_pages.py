"""The page of the queue: one find at a time, decided, skipped and undone by plain forms."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from accounts.models import User
from observations.models import Observation, QueueEntry
from observations.queue.leases import MAX_HELD, queue_next
from observations.queue.polling import POLL_TASK
from observations.services import names_add, observation_decide
from tests.support.queue import OUT_OF_SCOPE, queued
from tests.support.rows import answered_prediction, version_row

pytestmark = pytest.mark.django_db

QUEUE = "/queue"
SCRIPT = {"hx-request": "true"}


def page_of(user: User, **options) -> Client:
    client = Client(**options)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def alice(users: dict[str, User]) -> Client:
    return page_of(users["alice"])


@pytest.fixture
def clementine(users: dict[str, User]) -> Client:
    return page_of(users["clementine"])


def shown(response) -> list[int]:
    """Return the ids there of the finds of a page."""
    return [int(number) for number in re.findall(r"Find (\d+) at Mushroom", response.text)]


def find(number: int) -> Observation:
    return Observation.objects.get(mushroom_observer_id=number)


def path_of(number: int) -> str:
    return f"{QUEUE}/{find(number).pk}"


def decide(client: Client, number: int, decision: str = "agree", **more):
    body = {"decision": decision, "decision_name": "Aleuria aurantia", **more}
    return client.post(path_of(number), body, follow=True)


def messages_of(response) -> str:
    return " ".join(
        unescape(text) for text in re.findall(r'role="status">(.+?)</li>', response.text)
    )


def expire(number: int) -> None:
    past = timezone.now() - timedelta(seconds=1)
    QueueEntry.objects.filter(mushroom_observer_id=number).update(leased_until=past)


def test_one_find_is_shown_and_the_next_one_once_it_is_decided(alice: Client, users) -> None:
    queued(1)
    queued(2, verdict="contradicted")
    first = alice.get(QUEUE)
    assert shown(first) == [2]
    assert "2 wait: contradicted 1, other 1" in " ".join(first.text.split())
    response = decide(alice, 2, "disagree", note="Spores?")
    assert response.redirect_chain == [(QUEUE, 303)]
    assert shown(response) == [1]
    assert "1 decided in the last 12 hours · 1 waits" in " ".join(response.text.split())
    decided = find(2)
    assert (decided.decision, decided.decision_name) == ("disagree", "Aleuria aurantia")
    assert (decided.note, decided.user) == ("Spores?", users["alice"])
    assert shown(alice.get(QUEUE)) == [1], "the same one after a reload"
    assert shown(page_of(users["alice"]).get(QUEUE)) == [1], "and on another machine"


def test_without_a_script_a_page_holds_one_find_and_with_one_the_next_three(alice: Client) -> None:
    for number in range(1, 8):
        queued(number)
    assert shown(alice.get(QUEUE)) == [1]
    assert QueueEntry.objects.exclude(leased_to=None).count() == 1
    ahead = alice.post(f"{QUEUE}/more", {"have": find(1).pk}, headers=SCRIPT)
    assert shown(ahead) == [2, 3, 4]
    assert QueueEntry.objects.exclude(leased_to=None).count() == MAX_HELD
    have = " ".join(str(find(number).pk) for number in (2, 3, 4))
    body = {"decision": "unsure", "have": have}
    assert shown(alice.post(path_of(1), body, headers=SCRIPT)) == [5]
    assert find(1).decision == "unsure"


def test_what_comes_later_is_shown_later_however_urgent_it_is(alice: Client, users) -> None:
    for number in (1, 2):
        queued(number)
    assert shown(alice.get(QUEUE)) == [1]
    queued(3, verdict="contradicted")
    ahead = alice.post(f"{QUEUE}/more", {"have": find(1).pk}, headers=SCRIPT)
    assert shown(ahead) == [3, 2], "of those that are new, the most urgent is the first"
    other = page_of(users["alice"])
    assert shown(other.get(QUEUE)) == [1], "what she looks at"
    decide(alice, 1, "agree")
    assert shown(other.get(QUEUE)) == [3]
    alice.post(f"{QUEUE}/undo", headers=SCRIPT)
    assert shown(other.get(QUEUE)) == [1], "what she took back"


def test_leases_are_renewed_while_the_page_is_in_use(alice: Client) -> None:
    queued(1)
    alice.get(QUEUE)
    soon = timezone.now() + timedelta(minutes=1)
    QueueEntry.objects.update(leased_until=soon)
    alice.post(f"{QUEUE}/more", {"have": find(1).pk}, headers=SCRIPT)
    renewed = QueueEntry.objects.get().leased_until
    assert renewed is not None
    assert renewed > soon + timedelta(minutes=10)


def test_finds_of_others_are_not_there(alice: Client, clementine: Client) -> None:
    queued(1)
    clementine.get(QUEUE)
    for decision in ("agree", "skip"):
        response = decide(alice, 1, decision)
        assert response.status_code == 404
        assert "Nothing was stored: this find is no longer yours" in messages_of(response)
    assert find(1).decision == ""
    assert alice.post(f"{QUEUE}/999999999", {"decision": "agree"}).status_code == 404
    assert alice.post(f"{QUEUE}/{'9' * 19}", {"decision": "agree"}).status_code == 404
    assert QueueEntry.objects.get().leased_to.username == "clementine"


def test_an_administrator_does_not_decide_what_another_holds(admin: Client, clementine) -> None:
    queued(1)
    clementine.get(QUEUE)
    assert decide(admin, 1).status_code == 404
    assert find(1).decision == ""


def test_an_expired_lease_that_another_took_is_told_and_the_next_find_shown(
    alice: Client, clementine: Client
) -> None:
    queued(1)
    queued(2)
    alice.get(QUEUE)
    expire(1)
    assert shown(clementine.get(QUEUE)) == [1]
    response = decide(alice, 1)
    assert response.status_code == 404
    assert "another verifier has got it" in messages_of(response)
    assert shown(response) == [2]
    assert find(1).decision == ""
    left = alice.post(f"{QUEUE}/more", {"have": find(1).pk}, headers=SCRIPT)
    assert "A find was left out" in left.text


def test_an_expired_lease_that_nobody_took_can_be_decided(alice: Client) -> None:
    queued(1)
    alice.get(QUEUE)
    expire(1)
    assert decide(alice, 1).status_code == 200
    assert find(1).decision == "agree"


def test_what_another_decided_meanwhile_stays(alice: Client, clementine: Client, users) -> None:
    queued(1)
    alice.get(QUEUE)
    expire(1)
    clementine.get(QUEUE)
    decide(clementine, 1, "disagree")
    assert decide(alice, 1, "agree").status_code == 404
    assert (find(1).decision, find(1).user) == ("disagree", users["clementine"])


def test_a_form_that_is_sent_twice_decides_once(alice: Client) -> None:
    queued(1)
    alice.get(QUEUE)
    decide(alice, 1, note="First.")
    decided_at = find(1).decided_at
    again = decide(alice, 1, note="Second.")
    assert (again.status_code, messages_of(again)) == (200, "")
    assert (find(1).note, find(1).decided_at) == ("First.", decided_at)
    other = decide(alice, 1, "disagree")
    assert "before: you agree. Nothing was changed" in messages_of(other)
    assert find(1).decision == "agree"


def test_a_skipped_find_does_not_come_back_to_who_skipped_it(
    alice: Client, clementine: Client
) -> None:
    queued(1)
    alice.get(QUEUE)
    response = decide(alice, 1, "skip")
    assert response.redirect_chain == [(QUEUE, 303)]
    assert shown(response) == []
    again = decide(alice, 1, "skip")
    assert (again.status_code, messages_of(again)) == (200, "")
    assert shown(clementine.get(QUEUE)) == [1]


def test_undo_takes_back_decisions_and_skips_the_last_one_first(alice: Client) -> None:
    for number in (1, 2, 3):
        queued(number)
    alice.get(QUEUE)
    decide(alice, 1, "agree", note="Kept.")
    decide(alice, 2, "skip")
    decide(alice, 3, "unsure")
    for number in (3, 2, 1):
        undone = alice.post(f"{QUEUE}/undo", follow=True)
        assert shown(undone) == [number]
        assert f"Decide again about find {number}" in messages_of(undone)
    assert [find(number).decision for number in (1, 2, 3)] == ["", "", ""]
    assert find(1).note == "Kept."
    nothing = alice.post(f"{QUEUE}/undo", follow=True)
    assert messages_of(nothing) == "There is nothing to undo."
    assert QueueEntry.objects.filter(leased_to__username="alice").count() == 3


def test_decisions_are_undone_on_another_machine_and_only_ones_own(
    alice: Client, clementine: Client, users
) -> None:
    queued(1)
    alice.get(QUEUE)
    decide(alice, 1)
    assert "nothing to undo" in messages_of(clementine.post(f"{QUEUE}/undo", follow=True))
    assert find(1).decision == "agree"
    assert shown(page_of(users["alice"]).post(f"{QUEUE}/undo", follow=True)) == [1]
    assert find(1).decision == ""


def test_a_skip_cannot_be_undone_once_somebody_else_has_the_find(
    alice: Client, clementine: Client
) -> None:
    queued(1)
    alice.get(QUEUE)
    decide(alice, 1, "skip")
    clementine.get(QUEUE)
    response = alice.post(f"{QUEUE}/undo", follow=True)
    assert "somebody else has the find" in messages_of(response)
    assert QueueEntry.objects.get().leased_to.username == "clementine"


def test_a_find_that_changed_since_its_decision_is_not_undone(alice: Client) -> None:
    entry = queued(1)
    alice.get(QUEUE)
    decide(alice, 1)
    QueueEntry.objects.filter(pk=entry.pk).update(observation=None)
    assert "nothing to undo" in messages_of(alice.post(f"{QUEUE}/undo", follow=True))
    assert find(1).decision == "agree"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"decision": "agree"}, "Say which of the proposed names"),
        ({"decision": "agree", "decision_name": "Mycena rosea"}, "one of the proposed names"),
        ({"decision": "maybe", "decision_name": "Russula emetica"}, "not a valid choice"),
        ({}, "not a valid choice"),
        (
            {"decision": "agree", "decision_name": "Russula emetica", "note": "x" * 2001},
            "no more than 2000 characters",
        ),
        ({"decision": "unsure", "note": "a\0b"}, "Null characters are not allowed"),
    ],
)
def test_forms_are_checked_as_requests_of_the_api(alice: Client, body: dict, told: str) -> None:
    queued(1)
    names_add(observation=find(1), proposed=["Russula emetica"])
    alice.get(QUEUE)
    response = alice.post(path_of(1), body)
    assert response.status_code == 422
    assert told in messages_of(response)
    assert shown(response) == [1]
    assert (find(1).decision, find(1).note) == ("", "")


def test_forms_need_the_token_of_their_page_and_a_login(users) -> None:
    queued(1)
    strict = page_of(users["alice"], enforce_csrf_checks=True)
    strict.get(QUEUE)
    stored = QueueEntry.objects.values().get()
    for path in (path_of(1), f"{QUEUE}/undo", f"{QUEUE}/more", f"{QUEUE}/poll"):
        assert strict.post(path, {"decision": "agree"}).status_code == 403
        assert strict.get(path).headers["Location"] == QUEUE, "as after a login"
        assert Client().post(path).headers["Location"] == f"/login?next={path}"
    assert find(1).decision == ""
    assert QueueEntry.objects.values().get() == stored


def test_the_consensus_is_chosen_and_marked(alice: Client) -> None:
    queued(1)
    names_add(observation=find(1), proposed=["Russula emetica"])
    find(1).names.filter(name="Russula emetica").update(
        is_consensus=True, confidence=1.26, votes=[3, -1.0]
    )
    text = " ".join(alice.get(QUEUE).text.split())
    assert 'value="Russula emetica" checked' in text
    assert text.count(" checked data-key") == 1
    assert "Consensus</strong> 2 votes: 3, -1; confidence 1.3 of 3" in text


def test_photos_say_whose_they_are_and_reserved_ones_are_not_shown(alice: Client) -> None:
    entry = queued(1, scope=OUT_OF_SCOPE)
    version = version_row()
    rights = {"holder": "Jane <b>Doe</b>", "year": 2019}
    predictions = [
        answered_prediction(score, version, is_background=True, is_upload=False)
        for score in (80, 90)
    ]
    entry.observation.photos.create(
        prediction=predictions[0],
        image_id=11,
        licence="Creative Commons Wikipedia Compatible v3.0",
        **rights,
    )
    entry.observation.photos.create(
        prediction=predictions[1], image_id=12, licence="No licence", is_usable=False, **rights
    )
    text = " ".join(alice.get(QUEUE).text.split())
    assert f'src="/pictures/predictions/{predictions[0].pk}"' in text
    assert f'src="/pictures/predictions/{predictions[1].pk}"' not in text
    assert "Photo 1 of 2: " in text
    assert "© 2019 Jane &lt;b&gt;Doe&lt;/b&gt;" in text
    assert 'href="https://creativecommons.org/licenses/by-sa/3.0/"' in text
    assert 'href="https://mushroomobserver.org/images/1280/11.jpg"' in text
    assert "This photo may not be shown here" in text
    assert 'href="https://mushroomobserver.org/images/12"' in text
    assert "/12.jpg" not in text


def test_photos_that_may_be_shown_come_first(alice: Client) -> None:
    entry = queued(1)
    version = version_row()
    for score, is_usable in ((80, False), (90, True)):
        entry.observation.photos.create(
            prediction=answered_prediction(score, version, is_background=True, is_upload=False),
            image_id=score,
            is_usable=is_usable,
        )
    text = " ".join(alice.get(QUEUE).text.split())
    [_, first], [_, second] = (text.split(f"Photo {number} of 2: ") for number in (1, 2))
    assert second in first
    assert "90 %" in first.removesuffix(second)
    assert "80 %" in second


def test_an_empty_queue_says_what_fills_it_and_who_switches_that_on(
    alice: Client, admin: Client
) -> None:
    PeriodicTask.objects.filter(task=POLL_TASK).delete()
    assert "There is no schedule" in messages_of(admin.post(f"{QUEUE}/poll", follow=True))
    every_day = IntervalSchedule.objects.create(every=1, period="days")
    schedule = PeriodicTask.objects.create(
        name="polls", task=POLL_TASK, interval=every_day, enabled=False
    )
    empty = alice.get(QUEUE)
    assert "An administrator switches it on." in empty.text
    assert "Switch it on" not in empty.text
    assert alice.post(f"{QUEUE}/poll").status_code == 403
    assert not PeriodicTask.objects.filter(task=POLL_TASK, enabled=True).exists()
    assert "Switch it on" in admin.get(QUEUE).text
    switched = admin.post(f"{QUEUE}/poll", follow=True)
    assert "Polling is switched on" in messages_of(switched)
    assert "That is switched on." in switched.text
    schedule.refresh_from_db()
    assert schedule.enabled


def test_what_is_read_again_at_the_site_stays_in_view(alice: Client) -> None:
    queued(1)
    alice.get(QUEUE)
    Observation.objects.update(status="pending", next_read_at=timezone.now())
    QueueEntry.objects.update(is_to_read=True)
    assert shown(alice.get(QUEUE)) == [1]
    assert decide(alice, 1).status_code == 200
    assert find(1).decision == "agree"


def test_the_queue_of_the_api_and_the_page_are_one(alice: Client, users) -> None:
    queued(1)
    queued(2)
    assert queue_next(user=users["alice"]).mushroom_observer_id == 1
    assert shown(alice.get(f"{QUEUE}?find={find(1).pk}")) == [1]
    observation_decide(observation=find(1), decision="unsure", decision_name="", by=users["alice"])
    assert shown(alice.get(f"{QUEUE}?find={find(1).pk}")) == [2]
    assert alice.get(f"{QUEUE}?find={'9' * 30}").status_code == 200
    assert alice.get(f"{QUEUE}?find=²").status_code == 200


def test_four_finds_need_a_bounded_number_of_queries(
    alice: Client, django_assert_max_num_queries
) -> None:
    for number in range(1, 9):
        queued(number)
    with django_assert_max_num_queries(45):
        alice.post(f"{QUEUE}/more", headers=SCRIPT)
