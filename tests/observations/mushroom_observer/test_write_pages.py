"""Votes, names and comments that a verifier sends from pages."""

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from observations.models import MushroomObserverWrite, Observation, QueueEntry
from observations.queue.leases import LEASE
from observations.write_selectors import seen_of
from tests.support.mushroom_observer.content import API_KEYS
from tests.support.pages import browser_of, submit
from tests.support.writes import observation_of_the_site, put_key

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("messages")]
FIRST = 500_000


@pytest.fixture
def page(users: dict[str, User]) -> Client:
    return browser_of(users["alice"])


@pytest.fixture
def held(site, alice, users) -> Observation:
    """Return a find of the queue that alice holds; her key is stored."""
    put_key(alice, API_KEYS["verifier"])
    observation = observation_of_the_site(users["alice"], FIRST)
    Observation.objects.filter(pk=observation.pk).update(source="queue", user=None)
    QueueEntry.objects.create(
        mushroom_observer_id=FIRST,
        observation=observation,
        is_to_read=False,
        leased_to=users["alice"],
        leased_until=timezone.now() + LEASE,
    )
    observation.refresh_from_db()
    return observation


def path_of(observation: Observation, kind: str) -> str:
    return f"/finds/{observation.pk}/mushroom-observer/{kind}"


def send(page: Client, observation: Observation, kind: str, **said: object):
    fields = {"seen": seen_of(observation), **said}
    return submit(page, path_of(observation, kind), fields)


def told(page: Client, response) -> str:
    """Follow the redirect of a form, and return the page to which it leads."""
    assert response.status_code == 303
    return " ".join(page.get(response.headers["Location"]).text.split())


def test_a_vote_is_sent_and_the_find_stays_in_view(page, site, held) -> None:
    naming = site.world.observations[FIRST].namings[0]
    shown = page.get(f"/queue?find={held.pk}").text
    assert f'<option value="{naming.id}" selected>' in shown
    assert f'name="seen" value="{seen_of(held)}"' in shown
    response = send(page, held, "vote", naming=naming.id, vote="-2")
    assert response.headers["Location"] == f"/queue?find={held.pk}#site-{held.pk}"
    text = told(page, response)
    assert "Mushroom Observer has taken it." in text
    assert f'id="find-{held.pk}"' in text, "although it is being read there again"
    assert "What you wrote there from here" in text
    assert [vote.value for vote in naming.votes if vote.user.id == 201] == [-2]


def test_after_the_decision_the_page_of_the_find_has_the_forms(page, site, held) -> None:
    name = held.names.get().name
    submit(page, f"/queue/{held.pk}", {"decision": "agree", "decision_name": name})
    shown = page.get(f"/finds/{held.pk}").text
    assert path_of(held, "comment") in shown
    response = send(page, held, "vote", naming=held.names.get().naming_id, vote="3")
    assert response.headers["Location"] == f"/finds/{held.pk}#site-{held.pk}"
    assert "Mushroom Observer has taken it." in told(page, response)


def test_a_name_is_proposed(page, site, held) -> None:
    text = told(page, send(page, held, "naming", name="Russula emetica", vote="2"))
    assert "Mushroom Observer has taken it." in text
    naming = site.world.observations[FIRST].namings[-1]
    assert (naming.name.text, [vote.value for vote in naming.votes]) == ("Russula emetica", [2])


def test_a_comment_is_shown_before_and_keeps_its_mark(page, site, held) -> None:
    shown = page.get(f"/queue?find={held.pk}").text
    assert 'value="ChampiPy: Aleuria aurantia, 95.11 %"' in shown
    mark = "Made with the help of ChampiPy: _Aleuria aurantia_ 95.11 %."
    assert f'It ends with: <span lang="en">{mark}</span>' in shown
    assert site.writes == []
    told(page, send(page, held, "comment", summary="Yes", content="I agree.\r\nBy its colour."))
    [comment] = site.world.observations[FIRST].comments
    assert comment.content == f"I agree.\nBy its colour.\n\n{mark}"


def test_what_has_changed_since_is_not_written_on(page, site, held) -> None:
    there, world = site.world.observations[FIRST], site.world
    world.vote(there, there.namings[0], world.users[203], -3)
    text = told(page, send(page, held, "vote", naming=there.namings[0].id, vote="3"))
    assert "The observation has changed at Mushroom Observer since you looked at it" in text
    assert site.writes == []


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("vote", {"naming": "1", "vote": "3"}),
        ("vote", {"vote": "3"}),
        ("vote", {"naming": "x", "vote": "4"}),
        ("naming", {"name": "", "vote": "2"}),
        ("naming", {"name": "Russula emetica", "vote": ""}),
        ("comment", {"summary": "x" * 101, "content": "y"}),
        ("comment", {"summary": "x", "content": "y", "seen": "old"}),
    ],
)
def test_forms_are_checked_as_requests_of_the_api(page, site, held, kind, said) -> None:
    response = send(page, held, kind, **said)
    assert 'class="error" role="status"' in told(page, response)
    assert MushroomObserverWrite.objects.count() == 0
    assert site.writes == []


def test_finds_of_others_are_not_written_on(site, users, held) -> None:
    clementine = browser_of(users["clementine"])
    assert send(clementine, held, "naming", name="Russula emetica", vote="2").status_code == 404
    assert send(clementine, held, "nonsense").status_code == 404
    assert clementine.get(path_of(held, "naming"), follow=True).status_code == 404
    assert MushroomObserverWrite.objects.count() == 0


def test_who_logs_in_again_comes_back_to_the_find(page, held) -> None:
    response = page.get(path_of(held, "naming"))
    assert (response.status_code, response.headers["Location"]) == (302, f"/finds/{held.pk}")
    assert MushroomObserverWrite.objects.count() == 0


def test_forms_need_the_token_of_their_page(page, held) -> None:
    assert page.post(path_of(held, "naming"), {"name": "Russula emetica"}).status_code == 403
    assert MushroomObserverWrite.objects.count() == 0


def test_without_a_key_the_page_leads_to_where_it_is_stored(page, alice, held) -> None:
    alice.delete("/api/v1/mushroom-observer-key")
    text = page.get(f"/queue?find={held.pk}").text
    assert "Store your API key of Mushroom Observer" in text
    assert path_of(held, "vote") not in text
    refused = told(page, send(page, held, "naming", name="Russula emetica", vote="2"))
    assert "Enter your API key of Mushroom Observer first" in refused


def test_too_many_writes_are_refused(page, site, held, monkeypatch) -> None:
    from accounts.api.throttling import MushroomObserverThrottle

    monkeypatch.setattr(MushroomObserverThrottle, "rate", "1/day", raising=False)
    first = told(page, send(page, held, "naming", name="", vote="2"))
    assert "You wrote too often." not in first
    text = told(page, send(page, held, "naming", name="Russula emetica", vote="2"))
    assert "You wrote too often." in text
    assert site.writes == []
