"""The client reads what Mushroom Observer answers, however odd, and tells plainly what is wrong."""

import contextlib
import socket
import time
from datetime import UTC, datetime, timedelta

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from observations.mushroom_observer import client, transport
from observations.mushroom_observer.errors import (
    MaintenanceError,
    NonsenseError,
    NotFoundError,
    RateLimitError,
    RefusedError,
    UnreachableError,
)
from observations.mushroom_observer.transport import ApiKey
from predictions import mushroom_observer_turns
from tests.support.mushroom_observer.content import API_KEYS

FIRST = 500_000
SIX_PHOTOS = 500_035


def test_an_observation_comes_with_its_images_namings_and_votes(site) -> None:
    there = site.world.observations[SIX_PHOTOS]
    here = client.observation_read(SIX_PHOTOS)
    assert [image.id for image in here.images] == [image.id for image in there.images]
    assert [naming.name.text for naming in here.namings] == [n.name.text for n in there.namings]
    for naming, original in zip(here.namings, there.namings, strict=True):
        assert [(vote.user.login, vote.value) for vote in naming.votes] == [
            (vote.user.login, vote.value) for vote in original.votes
        ]
        assert naming.confidence == original.confidence
        assert naming.owner.login == original.owner.login
    assert here.consensus.text == there.consensus[0].text
    assert here.seen_on == there.seen_on
    assert here.images[0].attribution.startswith(
        f"© {there.images[0].year} {here.owner.legal_name}"
    )
    [request] = site.requests
    assert request.headers["User-Agent"].startswith("ChampiPy/")
    assert request.parameters == {"format": "json", "id": str(SIX_PHOTOS), "detail": "high"}


def test_an_observation_is_remembered_for_a_while_unless_a_fresh_one_is_wanted(site) -> None:
    before = client.observation_read(FIRST)
    site.world.turn(FIRST, "Trametes versicolor")
    assert client.observation_read(FIRST) == before
    assert len(site.requests) == 1
    after = client.observation_read(FIRST, is_fresh=True)
    assert after.fingerprint != before.fingerprint
    assert client.observation_read(FIRST) == after


def test_many_are_asked_for_in_one_call_and_missing_ones_left_out(site) -> None:
    ids = [*site.world.observations, 1, 2]
    site.manners.refuses_unknown_ids = False
    assert client.observations_read(ids).keys() == site.world.observations.keys()
    assert len(site.requests) == 1
    site.manners.refuses_unknown_ids = True
    found = client.observations_read([*ids, 3], is_fresh=True)
    assert found.keys() == site.world.observations.keys()
    assert len(site.requests) == 5  # one for each that the site names
    with pytest.raises(NotFoundError, match="no observation 1 "):
        client.observation_read(1)


def test_names_come_with_synonyms_and_are_remembered(site) -> None:
    names = client.names_read([22777, 22781, 5])
    assert names.keys() == {22777, 22781}
    assert names[22777].is_deprecated
    assert not names[22781].is_deprecated
    synonyms = {each.text for each in names[22781].synonyms}
    assert synonyms == {"Polyporus squamosus", "Bresadolia squamosa"}
    client.names_read([22781])
    assert len(site.requests) == 1
    [misspelled] = client.names_called(["Amanita muscarria"])
    assert misspelled.is_misspelled
    with pytest.raises(RefusedError, match="There is no name: Amanita nonexistens"):
        client.names_called(["Amanita nonexistens"])


def test_namings_are_asked_for_where_the_site_knows_them(site) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    assert client.has_namings()
    assert client.has_namings()
    assert len(site.requests) == 1
    page = client.namings_page([22777, 22781], since=until - timedelta(days=40), until=until)
    assert page.number_of_pages == 1
    assert page.namings
    assert {each.name.id for each in page.namings} <= {22777, 22781}
    assert all(each.observation_id and each.updated_at for each in page.namings)
    none = client.namings_page([22781], since=until - timedelta(days=1), until=until)
    assert none.namings == []


def test_without_namings_observations_are_found_by_consensus(site) -> None:
    site.manners.has_namings = False
    assert not client.has_namings()
    pages = [client.observation_ids_page([22777], confidence=each) for each in (2, 1, 0, -1)]
    found = {number for page in pages for number in page.ids}
    names = {site.world.observations[number].consensus[0].text for number in found}
    assert found
    assert names <= {"Polyporus squamosus", "Cerioporus squamosus", "Bresadolia squamosa"}


def test_whose_key_it_is_is_told_and_an_unknown_key_is_not_repeated(site) -> None:
    assert client.key_owner(ApiKey(API_KEYS["expert"])) == 202
    with pytest.raises(RefusedError) as error:
        client.key_owner(ApiKey("secretsecret"))
    assert "secretsecret" not in f"{error.value!r} {error.value.detail}"


@pytest.mark.parametrize(
    ("switch", "value", "expected", "retry_after_s"),
    [
        ("in_maintenance", True, MaintenanceError, 120),
        ("is_blocking", True, RateLimitError, 120),
        ("sends_html", True, NonsenseError, None),
        ("sends_half", True, UnreachableError, None),
        ("leaves_out", frozenset({"results"}), NonsenseError, None),
        ("overrides", {"results": "none"}, NonsenseError, None),
        ("overrides", {"results": [{"id": 1}]}, NonsenseError, None),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(site, switch, value, expected, retry_after_s) -> None:
    setattr(site.manners, switch, value)
    with pytest.raises(expected) as error:
        client.observation_read(FIRST)
    assert type(error.value) is expected
    assert error.value.detail.endswith((".", "later."))
    assert "Mushroom Observer" in error.value.detail
    assert error.value.retry_after_s == retry_after_s
    assert "photo" not in error.value.detail


def test_after_maintenance_nobody_asks_until_it_is_over(site) -> None:
    site.manners.in_maintenance = True
    with pytest.raises(MaintenanceError):
        client.observation_read(FIRST)
    site.manners.in_maintenance = False
    with pytest.raises(RateLimitError) as error:
        client.observation_read(FIRST)
    assert 100 < (error.value.retry_after_s or 0) <= 120
    assert len(site.requests) == 1


def test_a_slow_site_is_not_waited_for_longer_than_the_deadline(site, monkeypatch) -> None:
    monkeypatch.setattr(transport, "DEADLINE_S", 0.5)
    site.manners.delay_s = 3
    with pytest.raises(UnreachableError, match="in time"):
        client.observation_read(FIRST)


def test_a_site_that_is_gone_or_forbidden_is_told(site, settings) -> None:
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = "http://127.0.0.1:1"
    with pytest.raises(UnreachableError, match="may not be asked"):
        client.observation_read(FIRST)
    settings.CHAMPIPY_FETCH_ALLOW |= {"127.0.0.1:1"}
    with pytest.raises(UnreachableError, match="could not be reached"):
        client.observation_read(FIRST)


def test_without_valkey_nothing_is_asked(site, monkeypatch) -> None:
    gone = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(mushroom_observer_turns, "valkey_client", lambda: gone)
    with pytest.raises(UnreachableError, match="Valkey does not answer"):
        client.observation_read(FIRST)
    assert site.requests == []


def test_calls_leave_the_gap_or_the_last_run_time_between_them(site, monkeypatch) -> None:
    monkeypatch.setattr(mushroom_observer_turns, "API_GAP_S", 0.4)
    client.observation_read(FIRST)
    site.manners.run_time_s = 1.2
    client.observation_read(FIRST, is_fresh=True)
    client.observation_read(FIRST, is_fresh=True)
    first, second, third = site.requests
    assert second.at - first.ended_at >= 0.3
    # The replica's end of a request may come after the client's.
    assert third.at - second.ended_at >= 1.1


def test_who_has_no_patience_is_refused_before_anything_is_sent(site) -> None:
    site.manners.run_time_s = 30
    client.observation_read(FIRST)
    started = time.monotonic()
    with pytest.raises(RateLimitError) as error:
        transport.api_get("names", {"id": 1}, patience_s=1)
    assert time.monotonic() - started < 5
    assert 20 < (error.value.retry_after_s or 0) <= 30.1
    assert len(site.requests) == 1


def test_numbers_as_strings_and_absent_keys_are_met_without_a_fault(site) -> None:
    plain = client.observation_read(SIX_PHOTOS)
    site.manners.numbers_as_strings = True
    assert client.observation_read(SIX_PHOTOS, is_fresh=True) == plain
    keys = ["namings", "votes", "primary_image", "images", "owner", "consensus"]
    keys += ["name", "license", "ok_for_export", "date", "number_of_pages", "confidence"]
    for key in [*keys, "run_time"]:
        site.manners.leaves_out = frozenset({key})
        here = client.observation_read(SIX_PHOTOS, is_fresh=True)
        assert here.id == SIX_PHOTOS
        if key in {"license", "ok_for_export"}:
            assert not any(image.is_usable for image in here.images)
    odd: list[object] = [None, "x", -1, 1e400, [], {}, [[]], {"a": 1}, "\0\ud800", True, 10**30]
    for value in odd:
        for key in keys:
            site.manners.leaves_out, site.manners.overrides = frozenset(), {key: value}
            assert client.observation_read(SIX_PHOTOS, is_fresh=True).id == SIX_PHOTOS


def test_a_site_that_cannot_be_connected_to_is_told_at_once(site, settings, monkeypatch) -> None:
    monkeypatch.setattr(transport, "CONNECT_S", 0.3)
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # nobody accepts these, and no more fit
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        address = f"127.0.0.1:{full.getsockname()[1]}"
        settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = f"http://{address}"
        settings.CHAMPIPY_FETCH_ALLOW |= {address}
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="did not answer in time") as first:
            client.observation_read(FIRST)
        assert time.monotonic() - began < transport.DEADLINE_S / 2
    assert first.value.retry_after_s == mushroom_observer_turns.AWAY_S
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = site.url
    with pytest.raises(UnreachableError, match="a moment ago"):
        client.observation_read(FIRST)
    assert site.requests == []


def test_a_failure_says_when_the_site_may_be_asked_again(site) -> None:
    assert transport.site_retry_after_s() == transport.RETRY_AFTER_S
    site.manners.in_maintenance = True
    with pytest.raises(MaintenanceError):
        client.observation_read(FIRST)
    assert 110 < transport.site_retry_after_s() <= 120
