"""`POST /observations {"mushroom_observer": …}`: an observation of the site, brought up to date."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from observations import mushroom_observer_services as services
from observations.models import Observation, ObservationPhoto
from observations.mushroom_observer_services import observations_read_due
from observations.name_services import names_replace
from predictions.models import Prediction
from tests.support.api import error_of
from tests.support.mushroom_observer import MushroomObserver
from tests.support.mushroom_observer.world import Image
from tests.support.observations import OBSERVATIONS
from tests.support.site_observations import (
    FIRST,
    SIX_PHOTOS,
    calls,
    fetched,
    post,
    read,
    worked,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]


@pytest.fixture
def site(mushroom_observer: MushroomObserver, lost_messages: None) -> MushroomObserver:
    return mushroom_observer


def images(site: MushroomObserver, number: int) -> list[Image]:
    return site.world.observations[number].images


def test_workers_read_it_with_photos_names_and_votes(
    alice: APIClient,
    workers,
    mushroom_observer_of_workers: MushroomObserver,
    fresh_turns: None,
    settings,
) -> None:
    site = mushroom_observer_of_workers
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = site.url
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({site.address})
    there = site.world.observations[SIX_PHOTOS]
    response = post(alice, f"{site.url}/observations/{SIX_PHOTOS}?q=1", Prefer="wait=30")
    assert response.status_code in {200, 202}, response.json()
    told, patience = response.json(), time.monotonic() + 120  # the workers may only just start
    while told["status"] == "pending" and time.monotonic() < patience:
        time.sleep(0.5)
        told = alice.get(f"{OBSERVATIONS}/{told['id']}").json()
    assert told["status"] == "done", told
    assert told["source"]["mushroom_observer"] == SIX_PHOTOS
    assert told["source"]["url"] == f"{site.url}/observations/{SIX_PHOTOS}"
    assert len(told["photos"]) == len(there.images) == 6
    assert [each["proposed"] for each in told["verdicts"]] == [n.name.text for n in there.namings]
    for verdict, naming in zip(told["verdicts"], there.namings, strict=True):
        assert verdict["naming"]["id"] == naming.id
        assert verdict["naming"]["name_id"] == naming.name.id
        assert verdict["naming"]["confidence"] == pytest.approx(naming.confidence)
        assert verdict["naming"]["votes"] == sorted((v.value for v in naming.votes), reverse=True)
        assert verdict["verdict"]


def test_asked_again_only_what_changed_is_fetched_and_judged(alice: APIClient, site) -> None:
    before = read(alice, SIX_PHOTOS)
    assert before["status"] == "done"
    asked = fetched(site)
    assert sorted(asked) == sorted(
        f"/images/{services.PHOTO_SIZE}/{image.id}.jpg" for image in images(site, SIX_PHOTOS)
    )
    site.world.turn(SIX_PHOTOS, "Polyporus squamosus")
    gone = images(site, SIX_PHOTOS).pop(2)
    pending = post(alice, SIX_PHOTOS).json()
    assert (pending["id"], pending["status"]) == (before["id"], "pending")
    assert pending["predictions"] == before["predictions"]
    inferences = Prediction.objects.count()
    observations_read_due()
    after = alice.get(f"{OBSERVATIONS}/{before['id']}").json()
    assert after["status"] == "done"
    assert fetched(site) == asked
    assert Prediction.objects.count() == inferences - 1
    assert [each["id"] for each in after["photos"]] == [
        each["id"] for each in before["photos"] if f"/{gone.id}." not in each["file"]
    ]
    new = after["verdicts"][-1]
    assert (new["proposed"], new["species"]) == ("Polyporus squamosus", "Polyporus squamosus")
    assert new["verdict"] in {"supported", "contradicted", "undecided"}
    assert new["naming"]["is_consensus"] is True
    assert after["verdicts"][0]["naming"]["confidence"] < 0


def test_each_user_has_a_row_and_twins_share_it(alice: APIClient, bob: APIClient, site) -> None:
    ids = {post(alice, each).json()["id"] for each in (FIRST, str(FIRST), f"#{FIRST}")}
    assert len(ids) == 1
    assert post(bob, FIRST).json()["id"] not in ids
    worked()
    assert len(calls(site)) == 1  # of both users
    assert len(fetched(site)) == len(images(site, FIRST))
    assert Observation.objects.filter(status="done").count() == 2


def test_a_photo_that_failed_is_fetched_again(alice: APIClient, site) -> None:
    [image] = images(site, FIRST)
    post(alice, FIRST)
    observations_read_due()
    site.world.images.pop(image.id)
    worked()
    told = alice.get(OBSERVATIONS).json()["results"][0]
    assert (told["status"], told["error"]["code"]) == ("failed", "image_not_found")
    site.world.images[image.id] = image
    assert read(alice)["status"] == "done"
    assert ObservationPhoto.objects.count() == Prediction.objects.count() == 1


@pytest.mark.parametrize(
    ("manner", "value"),
    [
        ("in_maintenance", True),
        ("is_blocking", True),
        ("sends_html", True),
        ("sends_half", True),
    ],
)
def test_an_unavailable_site_is_said_and_what_was_told_stays(
    alice: APIClient, site, manner: str, value: object
) -> None:
    before = read(alice)
    setattr(site.manners, manner, value)
    path = post(alice, FIRST).headers["Location"]
    observations_read_due()
    failed = alice.get(path).json()
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "mushroom_observer_unavailable"
    assert failed["error"]["detail"].endswith(".")
    assert failed["verdicts"] == before["verdicts"]
    assert failed["predictions"] == before["predictions"]
    setattr(site.manners, manner, False)


def test_what_does_not_exist_is_said(alice: APIClient, site) -> None:
    path = post(alice, 999).headers["Location"]
    observations_read_due()
    told = alice.get(path).json()
    assert (told["status"], told["error"]["code"]) == ("failed", "observation_not_found")
    assert "999" in told["error"]["detail"]


@pytest.mark.parametrize(
    "asked", ["", "x", True, None, 0, -1, [1], {"id": 1}, 1.5, "https://example.com/1", 10**20]
)
def test_what_names_no_observation_is_refused(alice: APIClient, site, asked: object) -> None:
    response = post(alice, asked)
    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"] == "mushroom_observer"
    assert Observation.objects.count() == 0


def test_photos_and_names_are_not_sent_with_it(alice: APIClient, site) -> None:
    body = {"mushroom_observer": FIRST, "proposed": ["Amanita muscaria"]}
    response = alice.post(OBSERVATIONS, body, format="json")
    assert error_of(response) == (400, "invalid")
    assert Observation.objects.count() == 0


def test_an_observation_without_photos_is_said(alice: APIClient, site) -> None:
    images(site, FIRST).clear()
    told = read(alice)
    assert (told["status"], told["error"]["code"]) == ("failed", "observation_without_photos")
    assert len(told["verdicts"]) == len(site.world.observations[FIRST].namings)


def test_an_observation_without_names_is_told_with_a_remark(alice: APIClient, site) -> None:
    site.world.observations[FIRST].namings.clear()
    told = read(alice)
    assert told["status"] == "done"
    assert told["verdicts"] == []
    assert "Nobody has proposed a name for it at Mushroom Observer yet." in told["remarks"]


def test_of_more_than_twelve_photos_the_first_are_used(alice: APIClient, site) -> None:
    pictures = images(site, FIRST)
    others = [each for each in site.world.images.values() if each not in pictures]
    pictures.extend(others[:13])
    told = read(alice)
    assert len(told["photos"]) == 12
    assert told["remarks"][0] == ("It has 14 photos at Mushroom Observer; the first 12 are used.")


def test_a_worker_that_dies_is_followed_by_another_and_at_last_it_is_given_up(
    alice: APIClient, site, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = post(alice, FIRST).headers["Location"]

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    for _ in range(services.MAX_READS):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(services, "observations_read", die)
            observations_read_due()
        assert observations_read_due() == 0  # another one may be at it
        assert alice.get(path).json()["status"] == "pending"
        long_ago = timezone.now() - timedelta(seconds=1)
        Observation.objects.update(next_read_at=long_ago)
    observations_read_due()
    told = alice.get(path).json()
    assert (told["status"], told["error"]["code"]) == ("failed", "mushroom_observer_unavailable")
    assert read(alice)["status"] == "done"


def test_names_that_are_proposed_here_stay_when_it_is_read_again(alice: APIClient, site) -> None:
    told = read(alice, FIRST)
    find = Observation.objects.get(pk=told["id"])
    names_replace(observation=find, proposed=["Boletus edulis"])
    again = read(alice, FIRST)
    proposed = {each["proposed"]: each for each in again["verdicts"]}
    assert proposed.keys() == {each["proposed"] for each in told["verdicts"]} | {"Boletus edulis"}
    assert proposed["Boletus edulis"]["naming"] is None
    assert proposed["Boletus edulis"]["verdict"] == "not_covered"
