"""Photos of Mushroom Observer are fetched at its pace, without holding threads or alarming."""

import itertools
import json
import time
from datetime import datetime, timedelta

import pytest
import redis
from django.core.management import call_command
from django.utils import timezone
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.valkey import valkey_client
from predictions import mushroom_observer_turns
from predictions.fetch_services import prediction_fetch
from predictions.models import Prediction
from predictions.mushroom_observer_turns import turn_take
from predictions.photo_turns import MAX_WAIT
from predictions.services import prediction_create
from supervision.monitoring.selectors import unanswered_since
from tests.support.mushroom_observer import MushroomObserver
from tests.support.photo_server import PhotoServer
from tests.support.predictions import ask, unsent
from tests.support.rows import answered_prediction

pytestmark = pytest.mark.django_db(transaction=True)
KEY = "champipy:mushroom_observer:turns"


@pytest.fixture
def site(mushroom_observer: MushroomObserver, production, monkeypatch) -> MushroomObserver:
    """Return a replica that is asked at the real pace."""
    monkeypatch.setattr(mushroom_observer_turns, "MIN_GAP_S", 1.0)
    return mushroom_observer


def image_url(site: MushroomObserver, number: int = 0, size: str = "640") -> str:
    return f"{site.url}/images/{size}/{list(site.world.images)[number]}.jpg"


def fetched(prediction: Prediction, sent: list[int] | None = None) -> Prediction:
    record = unsent if sent is None else (lambda each: sent.append(each.pk))
    prediction_fetch(prediction_id=prediction.pk, send=record)
    prediction.refresh_from_db()
    return prediction


def turn_of(prediction: Prediction) -> datetime:
    assert prediction.fetch_at is not None
    return prediction.fetch_at


def occupy(seconds: int) -> None:
    for _ in range(seconds + 1):
        turn_take("image", patience_s=1000)


def let_its_turn_come(prediction: Prediction) -> None:
    valkey_client().delete(KEY)
    Prediction.objects.filter(pk=prediction.pk).update(fetch_at=timezone.now())


def test_a_photo_whose_turn_comes_later_leaves_its_thread_and_keeps_its_place(site) -> None:
    occupy(seconds=30)
    sent: list[int] = []
    prediction = ask(image_url(site))
    started = time.monotonic()
    fetched(prediction, sent)
    assert time.monotonic() - started < 5
    assert site.requests == []
    assert (prediction.status, sent) == ("pending", [prediction.pk])
    wait = turn_of(prediction) - timezone.now()
    assert timedelta(seconds=25) < wait <= timedelta(seconds=31)
    assert prediction.next_send_at == turn_of(prediction) + timedelta(seconds=15)
    place = prediction.fetch_at
    fetched(prediction, sent)
    assert prediction.fetch_at == place, "who comes early keeps the place"
    let_its_turn_come(prediction)
    fetched(prediction, sent)
    assert prediction.sha256
    [request] = site.image_requests
    assert request.headers["User-Agent"].startswith("ChampiPy/")


def test_a_turn_that_comes_soon_is_waited_for(site) -> None:
    first, second = ask(image_url(site, 0)), ask(image_url(site, 1))
    fetched(first)
    fetched(second)
    assert first.sha256
    assert second.sha256
    one, other = site.image_requests
    assert other.at - one.at > 0.9


def test_what_waits_for_its_turn_alarms_nobody(site) -> None:
    occupy(seconds=30)
    prediction = fetched(ask(image_url(site)))
    assert unanswered_since() is None
    let_its_turn_come(prediction)
    prediction.refresh_from_db()
    assert unanswered_since() == prediction.fetch_at
    Prediction.objects.filter(pk=prediction.pk).update(fetch_at=None)
    assert unanswered_since() == prediction.created_at


def test_what_nobody_waits_for_alarms_nobody_and_hides_no_alarm(site, production) -> None:
    by_itself = ask(image_url(site, 0))
    Prediction.objects.filter(pk=by_itself.pk).update(is_background=True)
    assert unanswered_since() is None
    Prediction.objects.filter(pk=by_itself.pk).update(
        status="failed", error_code="prediction_failed"
    )
    assert unanswered_since() is None
    person = ask(image_url(site, 1))
    answered_prediction(80, production, is_background=True)
    assert unanswered_since() == person.created_at


def test_photos_for_the_background_come_after_those_of_people(site, production) -> None:
    occupy(seconds=10)
    by_itself = prediction_create(
        user=None,
        file=image_url(site, 0),
        nb_preds=1,
        version=production,
        is_background=True,
        send=unsent,
    )
    fetched(by_itself)
    person = fetched(ask(image_url(site, 1)))
    assert turn_of(person) - turn_of(by_itself) < timedelta(seconds=0.1)
    Prediction.objects.filter(pk=by_itself.pk).update(fetch_at=timezone.now())
    fetched(by_itself)
    assert turn_of(by_itself) > turn_of(person)


def test_a_pause_that_the_site_asks_for_is_kept_by_all_and_then_it_goes_on(site) -> None:
    site.manners.in_maintenance = True
    first, second = ask(image_url(site, 0)), ask(image_url(site, 1))
    fetched(first)
    fetched(second)
    assert len(site.requests) == 1
    for prediction in (first, second):
        assert prediction.status == "pending"
        wait = turn_of(prediction) - timezone.now()
        assert timedelta(seconds=110) < wait < timedelta(seconds=125)
    site.manners.in_maintenance = False
    let_its_turn_come(first)
    assert fetched(first).sha256


def test_a_pause_of_an_hour_is_told_at_once_and_politely(site) -> None:
    site.manners.is_blocking, site.manners.retry_after = True, "3600"
    first, second = ask(image_url(site, 0)), ask(image_url(site, 1))
    for prediction in (first, second):
        fetched(prediction)
        assert (prediction.status, prediction.error_code) == ("failed", "image_unreachable")
        assert "Mushroom Observer cannot be asked" in prediction.error_detail
    assert len(site.requests) == 1


def test_a_photo_does_not_wait_for_ever(site) -> None:
    prediction = ask(image_url(site))
    long_ago = timezone.now() - MAX_WAIT - timedelta(seconds=1)
    Prediction.objects.filter(pk=prediction.pk).update(created_at=long_ago)
    occupy(seconds=30)
    assert fetched(prediction).error_code == "image_unreachable"
    assert site.requests == []


def test_without_valkey_mushroom_observer_is_not_asked_but_others_are(
    site, photo_server: PhotoServer, settings, monkeypatch
) -> None:
    gone = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(mushroom_observer_turns, "valkey_client", lambda: gone)
    settings.CHAMPIPY_FETCH_ALLOW |= {photo_server.address}
    prediction, other = ask(image_url(site)), ask(photo_server.url("drawn.jpg"))
    fetched(prediction)
    assert prediction.status == "pending"
    assert turn_of(prediction) > timezone.now()
    assert site.requests == []
    assert fetched(other).sha256


def test_a_redirect_to_mushroom_observer_waits_for_its_turn_too(
    site, photo_server: PhotoServer, settings
) -> None:
    settings.CHAMPIPY_FETCH_ALLOW |= {photo_server.address}
    occupy(seconds=30)
    prediction = ask(f"{photo_server.url('redirect-to')}?url={image_url(site)}")
    fetched(prediction)
    assert prediction.status == "pending"
    assert turn_of(prediction) > timezone.now() + timedelta(seconds=25)
    assert site.requests == []


def test_an_original_is_never_fetched(site) -> None:
    assert fetched(ask(image_url(site, size="orig"))).sha256
    assert "/1280/" in site.requests[0].path


def test_a_missing_image_is_told_as_elsewhere(site) -> None:
    missing = fetched(ask(f"{site.url}/images/640/999.jpg"))
    assert missing.error_code == "image_not_found"


def test_the_terminal_waits_for_its_turn_in_its_own_process(site, capsys) -> None:
    occupy(seconds=3)
    call_command("predict", image_url(site), "--json")
    assert json.loads(capsys.readouterr().out)["status"] == "done"
    assert len(site.image_requests) == 1


def test_real_workers_keep_the_pace_while_other_hosts_are_fetched_at_once(
    workers, production, users, photo_server, mushroom_observer_of_workers, settings, fresh_turns
) -> None:
    site = mushroom_observer_of_workers
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = site.url
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({site.address, photo_server.address})
    before = len(site.requests)
    asked = [
        prediction_create(
            user=users["alice"], file=image_url(site, number), nb_preds=1, version=production
        )
        for number in range(6)
    ]
    other = prediction_create(
        user=users["bob"], file=photo_server.url("drawn.jpg"), nb_preds=1, version=production
    )
    deadline = time.monotonic() + 60
    statuses: set[str] = {"pending"}
    is_other_first = False
    while "pending" in statuses and time.monotonic() < deadline:
        time.sleep(0.1)
        rows = {each.pk: each for each in Prediction.objects.all()}
        statuses = {rows[each.pk].status for each in asked}
        is_other_first |= rows[other.pk].status == "done" and "pending" in statuses
    assert statuses == {"done"}
    assert is_other_first
    times = sorted(each.at for each in site.requests[before:])
    assert len(times) == 6
    assert min(b - a for a, b in itertools.pairwise(times)) > 0.9
