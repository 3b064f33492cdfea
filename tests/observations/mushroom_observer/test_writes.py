"""Writes are sent once, with the user's key, which no message repeats."""

import logging
import traceback

import pytest

from observations.mushroom_observer import transport
from observations.mushroom_observer.errors import (
    MaintenanceError,
    MissingEndpointError,
    MushroomObserverError,
    OutcomeUnknownError,
    RateLimitError,
    RefusedError,
    UnreachableError,
)
from observations.mushroom_observer.transport import ApiKey
from observations.mushroom_observer.writes import comment_post, naming_propose, naming_vote
from tests.support.mushroom_observer.content import API_KEYS

FIRST = 500_000
KEY = ApiKey(API_KEYS["verifier"])


def no_check() -> None:
    """Let it be sent."""


def propose(**options):
    return naming_propose(
        before_sending=no_check,
        **{
            "key": KEY,
            "observation_id": FIRST,
            "name": "Trametes versicolor",
            "vote": 1,
            **options,
        },
    )


def test_a_name_is_proposed_with_the_vote_that_was_given(site) -> None:
    written = propose(reasons={1: "Zoned cap & pores"})
    naming = site.world.observations[FIRST].namings[-1]
    assert (written.ids, written.user_id) == ((naming.id,), 201)
    assert [vote.value for vote in naming.votes] == [1]
    assert naming.reasons == {1: "Zoned cap & pores"}
    [request] = site.requests
    assert request.path == "/api2/namings"
    assert API_KEYS["verifier"] not in request.path


def test_a_vote_changes_one_naming_and_never_more(site) -> None:
    naming = site.world.observations[FIRST].namings[0]
    others = {
        each.id: [vote.value for vote in each.votes]
        for observation in site.world.observations.values()
        for each in observation.namings
        if each.id != naming.id
    }
    assert naming_vote(key=KEY, before_sending=no_check, naming_id=naming.id, vote=-2).ids == (
        naming.id,
    )
    assert [vote.value for vote in naming.votes if vote.user.id == 201] == [-2]
    for observation in site.world.observations.values():
        for each in observation.namings:
            assert each.id == naming.id or [v.value for v in each.votes] == others[each.id]
    sent = len(site.requests)
    for wrong in (0, -5, None, "", "7", True):
        with pytest.raises(ValueError, match="needs the id"):
            naming_vote(key=KEY, before_sending=no_check, naming_id=wrong, vote=2)
    for vote in (4, 1.5, None):
        with pytest.raises(ValueError, match="A vote is"):
            naming_vote(key=KEY, before_sending=no_check, naming_id=naming.id, vote=vote)
    assert len(site.requests) == sent


def test_a_comment_is_posted_and_a_long_summary_is_refused_here(site) -> None:
    text = "ChampiPy: *Trametes versicolor* 97 %\n\n& so on = fine?"
    comment_post(
        key=KEY, before_sending=no_check, observation_id=FIRST, summary="Compared", content=text
    )
    comment = site.world.observations[FIRST].comments[-1]
    assert (comment.owner.id, comment.summary, comment.content) == (201, "Compared", text)
    with pytest.raises(ValueError, match="at most 100"):
        comment_post(
            key=KEY, before_sending=no_check, observation_id=FIRST, summary="x" * 101, content=text
        )
    assert len(site.requests) == 1


def test_what_the_site_refuses_is_not_done_and_says_why(site) -> None:
    with pytest.raises(RefusedError, match="There is no name: Fungus nonexistens"):
        propose(name="Fungus nonexistens")
    site.manners.has_namings = False
    with pytest.raises(MissingEndpointError):
        propose()
    assert site.writes == []


def test_before_anything_is_sent_a_failure_says_that_nothing_was_done(site, settings) -> None:
    site.manners.in_maintenance = True
    with pytest.raises(MaintenanceError):
        propose()
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = "http://127.0.0.1:1"
    settings.CHAMPIPY_FETCH_ALLOW |= {"127.0.0.1:1"}
    with pytest.raises(RateLimitError):
        propose()  # the pause holds
    assert site.writes == []


def test_what_is_refused_right_before_sending_is_not_sent(site) -> None:
    class RefusedHereError(Exception):
        pass

    def refuse() -> None:
        raise RefusedHereError

    [naming] = site.world.observations[FIRST].namings
    with pytest.raises(RefusedHereError):
        naming_vote(key=KEY, naming_id=naming.id, vote=-2, before_sending=refuse)
    assert site.requests == []


def test_a_site_that_is_gone_was_sent_nothing(site, settings) -> None:
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = "http://127.0.0.1:1"
    settings.CHAMPIPY_FETCH_ALLOW |= {"127.0.0.1:1"}
    with pytest.raises(UnreachableError):
        propose()


@pytest.mark.parametrize("switch", ["fails_writes_after", "sends_html", "sends_half"])
def test_without_a_clear_answer_the_outcome_is_unknown_and_nothing_is_sent_again(
    site, switch
) -> None:
    setattr(site.manners, switch, True)
    with pytest.raises(OutcomeUnknownError, match="may have been done"):
        propose()
    assert len(site.writes) == len(site.requests) == 1


def test_a_slow_answer_leaves_the_outcome_unknown(site, monkeypatch) -> None:
    monkeypatch.setattr(transport, "DEADLINE_S", 0.5)
    site.manners.delay_s = 2
    with pytest.raises(OutcomeUnknownError):
        propose()
    assert len(site.requests) == 1


def test_a_key_is_in_no_message_and_in_no_log(site, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    bad = ApiKey("verysecretkey")
    told = repr(bad) + str(bad)
    for switch in (None, "sends_html", "fails_writes_after", "in_maintenance"):
        if switch:
            setattr(site.manners, switch, True)
        with pytest.raises(MushroomObserverError) as error:
            propose(key=KEY if switch else bad)
        told += "".join(traceback.format_exception(error.value)) + repr(vars(error.value))
    told += caplog.text
    assert told.count("Error") >= 4
    assert "verysecretkey" not in told
    assert API_KEYS["verifier"] not in told
