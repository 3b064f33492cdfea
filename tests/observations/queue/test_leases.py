"""`POST /observations/queue/next`: who gets which find, for how long, and whose it then is."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from observations.models import Observation, QueueEntry
from observations.queue.leases import LEASE, MAX_HELD, queue_next
from observations.services import observation_decide
from predictions.models import Photo
from tests.support.api import client_of, error_of
from tests.support.locks import start_blocked
from tests.support.observations import OBSERVATIONS
from tests.support.queue import OUT_OF_SCOPE, queued
from tests.support.rows import answered_prediction, version_row

pytestmark = pytest.mark.django_db(transaction=True)

NEXT = f"{OBSERVATIONS}/queue/next"


@pytest.fixture
def clementine(users: dict[str, User]) -> APIClient:
    return client_of(users["clementine"])


def given(client: APIClient) -> int | None:
    """Return the id there of the find that the queue gives, or None if it gives none."""
    response = client.post(NEXT)
    if response.status_code == 204:
        assert response.content == b""
        return None
    assert response.status_code == 200, response.json()
    number: int = response.json()["source"]["mushroom_observer"]
    return number


def number_of(observation: Observation | None) -> int | None:
    return None if observation is None else observation.mushroom_observer_id


def url_of(number: int) -> str:
    return f"{OBSERVATIONS}/{Observation.objects.get(mushroom_observer_id=number).pk}"


def decide(client: APIClient, number: int, decision: str | None = "agree"):
    return client.patch(url_of(number), {"decision": decision}, format="json")


def test_contradictions_come_first_then_out_of_scope_then_undecided_then_the_oldest(
    alice: APIClient,
) -> None:
    queued(1)
    queued(2)
    queued(3, verdict="undecided")
    queued(4, verdict="undecided", scope=OUT_OF_SCOPE)
    queued(5, verdict="contradicted")
    queued(6, verdict="contradicted", scope=OUT_OF_SCOPE)
    order = []
    while (number := given(alice)) is not None and number not in order:
        order.append(number)
        assert decide(alice, number).status_code == 200
    assert order == [5, 6, 4, 3, 1, 2]
    assert given(alice) is None


def test_the_next_three_can_be_loaded_ahead_and_a_reload_gives_the_same_ones(
    alice: APIClient,
) -> None:
    for number in range(1, 7):
        queued(number)
    assert [given(alice) for _ in range(MAX_HELD)] == [1, 2, 3, 4]
    assert [given(alice) for _ in range(MAX_HELD + 1)] == [1, 2, 3, 4, 1]
    assert decide(alice, 2).status_code == 200
    assert given(alice) == 5
    held = alice.get(f"{OBSERVATIONS}?source=queue").json()["results"]
    assert {row["source"]["mushroom_observer"] for row in held} == {1, 2, 3, 4, 5}


def test_two_people_never_have_the_same_one(alice: APIClient, clementine: APIClient) -> None:
    for number in (1, 2):
        queued(number)
    assert [given(alice), given(clementine)] == [1, 2]
    assert [given(alice), given(clementine)] == [1, 2], "each the own one, with a new lease"
    assert alice.get(url_of(2)).status_code == 404
    assert error_of(decide(alice, 2)) == (404, "observation_not_found")
    assert alice.post(f"{url_of(2)}/release").status_code == 404
    assert alice.delete(url_of(2)).status_code == 404
    assert QueueEntry.objects.get(mushroom_observer_id=2).leased_to.username == "clementine"
    assert Observation.objects.get(mushroom_observer_id=2).decision == ""


def test_forty_requests_at_the_same_moment_get_finds_once_each(users: dict[str, User]) -> None:
    for number in range(1, 11):
        queued(number)
    start = threading.Barrier(8)

    def take(user: User) -> int | None:
        try:
            start.wait()
            return number_of(queue_next(user=user))
        finally:
            connection.close()

    people = [users[name] for name in ("alice", "clementine")] * 4
    with ThreadPoolExecutor(len(people)) as pool:
        taken = list(pool.map(take, people))
    by_alice, by_clementine = set(taken[::2]), set(taken[1::2])
    assert len(by_alice) == len(by_clementine) == MAX_HELD, taken
    assert not by_alice & by_clementine
    assert None not in by_alice | by_clementine


def test_a_find_that_is_just_being_given_to_another_is_passed_over(users) -> None:
    queued(1)
    queued(2)
    with transaction.atomic():
        assert queue_next(user=users["clementine"]).mushroom_observer_id == 1
        with ThreadPoolExecutor(1) as pool:

            def take() -> int | None:
                try:
                    return number_of(queue_next(user=users["alice"]))
                finally:
                    connection.close()

            assert pool.submit(take).result(timeout=20) == 2


def test_after_the_lease_others_get_it_and_until_then_it_stays_with_its_holder(
    alice: APIClient, clementine: APIClient, users
) -> None:
    queued(1)
    assert given(alice) == 1
    assert given(clementine) is None
    QueueEntry.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    assert alice.get(url_of(1)).status_code == 200, "nobody else has it"
    assert given(clementine) == 1
    assert alice.get(url_of(1)).status_code == 404
    assert decide(alice, 1).status_code == 404
    assert decide(clementine, 1).status_code == 200


def test_a_lease_is_15_minutes(users) -> None:
    queued(1)
    with time_machine.travel("2030-01-01 12:00", tick=False):
        assert queue_next(user=users["alice"]) is not None
        assert QueueEntry.objects.get().leased_until == timezone.now() + LEASE
    assert timedelta(minutes=15) == LEASE
    with time_machine.travel("2030-01-01 12:14:59", tick=False):
        assert queue_next(user=users["clementine"]) is None
    with time_machine.travel("2030-01-01 12:15:00", tick=False):
        assert queue_next(user=users["clementine"]) is not None


def test_what_is_released_goes_to_others_and_not_to_the_same_person(
    alice: APIClient, clementine: APIClient
) -> None:
    queued(1)
    assert given(alice) == 1
    response = alice.post(f"{url_of(1)}/release")
    assert (response.status_code, response.content) == (204, b"")
    assert alice.get(url_of(1)).status_code == 404
    assert given(alice) is None
    assert given(clementine) == 1
    assert clementine.post(f"{url_of(1)}/release").status_code == 204
    assert clementine.post(f"{url_of(1)}/release").status_code == 404
    assert given(clementine) is None


def test_a_decided_find_belongs_to_who_decided_and_comes_back_to_nobody(
    alice: APIClient, clementine: APIClient
) -> None:
    queued(1)
    assert given(alice) == 1
    assert decide(alice, 1, "disagree").status_code == 200
    QueueEntry.objects.update(leased_until=timezone.now() - timedelta(days=1))
    assert given(clementine) is None
    assert given(alice) is None
    assert alice.post(f"{url_of(1)}/release").status_code == 404
    assert clementine.get(url_of(1)).status_code == 404
    [row] = alice.get(f"{OBSERVATIONS}?decision=disagree&source=queue").json()["results"]
    assert row["source"]["mushroom_observer"] == 1


def test_who_takes_a_decision_back_has_the_find_again(
    alice: APIClient, clementine: APIClient
) -> None:
    queued(1)
    given(alice)
    decide(alice, 1)
    assert decide(alice, 1, None).status_code == 200
    assert given(clementine) is None
    assert given(alice) == 1
    QueueEntry.objects.update(leased_until=timezone.now())
    assert given(clementine) == 1


def test_a_decision_that_comes_after_somebody_else_got_the_find_changes_nothing(users) -> None:
    queued(1)
    observation = queue_next(user=users["alice"])
    QueueEntry.objects.update(leased_until=timezone.now())

    def decide_late() -> bool:
        try:
            observation_decide(
                observation=observation,
                decision="agree",
                decision_name="Aleuria aurantia",
                by=users["alice"],
            )
        except Observation.DoesNotExist:
            return False
        return True

    with transaction.atomic():
        assert queue_next(user=users["clementine"]).pk == observation.pk
        late = start_blocked(decide_late)
    assert late.result(timeout=20) is False
    observation.refresh_from_db()
    assert (observation.decision, observation.user) == ("", None)


def test_an_administrator_decides_about_any(bob: APIClient, alice: APIClient) -> None:
    queued(1)
    assert given(alice) == 1
    assert decide(bob, 1).status_code == 200
    assert Observation.objects.get().user.username == "bob"
    assert decide(alice, 1, "disagree").status_code == 404
    assert Observation.objects.get().decision == "agree"


def test_what_a_holder_deletes_does_not_come_back(alice: APIClient, clementine) -> None:
    queued(1)
    given(alice)
    assert alice.delete(url_of(1)).status_code == 204
    assert QueueEntry.objects.get().observation is None
    assert given(clementine) is None


def test_pending_failed_and_outdated_finds_are_not_given(alice: APIClient) -> None:
    pending, failed, outdated = queued(1), queued(2), queued(3)
    Observation.objects.filter(queue_entry=pending).update(status="pending", answer=None)
    Observation.objects.filter(queue_entry=failed).update(
        status="failed", answer=None, error_code="image_unreachable"
    )
    QueueEntry.objects.filter(pk=outdated.pk).update(is_to_read=True)
    assert given(alice) is None


def test_a_deleted_user_leaves_the_finds_to_others(users, clementine: APIClient) -> None:
    queued(1)
    queued(2)
    queue_next(user=users["alice"])
    QueueEntry.objects.get(mushroom_observer_id=2).skipped_by.add(users["alice"])
    users["alice"].delete()
    assert given(clementine) == 2
    QueueEntry.objects.filter(leased_to=None).update(leased_until=timezone.now())
    assert given(clementine) == 1


def test_the_holder_sees_the_photos_and_others_do_not(
    alice: APIClient, clementine: APIClient, users
) -> None:
    entry = queued(1)
    prediction = answered_prediction(80, version_row(), is_background=True, is_upload=False)
    entry.observation.photos.create(prediction=prediction)
    Photo.objects.update(file="")
    photo = f"/api/v1/predictions/{prediction.pk}/photo"

    def may_see(client: APIClient) -> bool:
        return "is stored" in client.get(photo).json()["errors"][0]["detail"]

    assert not may_see(alice)
    given(alice)
    assert may_see(alice)
    assert not may_see(clementine)
    decide(alice, 1)
    assert may_see(alice)
    assert alice.get(f"/api/v1/predictions/{prediction.pk}").status_code == 404
    assert alice.delete(f"/api/v1/predictions/{prediction.pk}").status_code == 404
    assert alice.get("/api/v1/predictions").json()["results"] == []


def test_an_unknown_parameter_is_refused_and_gives_nothing(alice: APIClient) -> None:
    queued(1)
    assert alice.post(f"{NEXT}?user=2").status_code == 400
    assert QueueEntry.objects.get().leased_to is None


def test_the_admin_lists_the_newest_finds_first_and_what_waits_by_urgency(admin: Client) -> None:
    queued(1, verdict="contradicted")
    for number in (900_003, 2):
        queued(number)

    def listed(query: str) -> list[str]:
        page = admin.get(f"/admin/observations/queueentry/{query}").content.decode()
        return re.findall(r"/admin/observations/queueentry/[0-9]+/change/[^>]*>([0-9]+)", page)

    assert listed("") == ["900003", "2", "1"]
    assert listed("?state=waiting") == ["1", "2", "900003"]
