"""Writes at Mushroom Observer, with a user's own API key. Only a user's click may lead here.

Nothing is sent twice: whether to try again is the caller's decision. OutcomeUnknownError says that
it may have been done; every other MushroomObserverError that nothing was done. `before_sending` is
called right before the request is sent, and keeps it from being sent by raising an exception.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from observations.mushroom_observer.answers import VOTES
from observations.mushroom_observer.transport import ApiKey, Envelope, api_write
from observations.mushroom_observer.values import as_integer, as_object

MAX_SUMMARY = 100
"""Characters of a comment's summary."""
REASONS = (1, 2, 3, 4)
"""By sight, by references, by the microscope, by chemistry."""


@dataclass(frozen=True)
class Written:
    """What the site answered: the ids of what was made or changed, and whose key it was."""

    ids: tuple[int, ...]
    user_id: int | None


def naming_propose(
    *,
    key: ApiKey,
    observation_id: int,
    name: str,
    vote: int,
    before_sending: Callable[[], object],
    reasons: Mapping[int, str] | None = None,
) -> Written:
    """Propose a name for an observation, with the key owner's vote on it (-3 to 3).

    `name` is its text or its id there; `reasons` holds notes by number (REASONS).
    """
    _check_vote(vote)
    form = {"observation": observation_id, "name": name, "vote": vote}
    for number, notes in (reasons or {}).items():
        if number not in REASONS:
            raise ValueError(f"There is no reason {number}: use 1 to 4.")
        form[f"reason_{number}"] = notes
    return _written(api_write("POST", "namings", {}, form, key=key, before_sending=before_sending))


def naming_vote(
    *, key: ApiKey, naming_id: int, vote: int, before_sending: Callable[[], object]
) -> Written:
    """Set the key owner's vote on one naming (-3 to 3; 0 takes it away)."""
    _check_vote(vote)
    if isinstance(naming_id, bool) or not isinstance(naming_id, int) or naming_id <= 0:
        raise ValueError("A vote needs the id of a naming: without it, it would change them all.")
    parameters = {"id": naming_id, "set_vote": vote}
    return _written(
        api_write("PATCH", "namings", parameters, {}, key=key, before_sending=before_sending)
    )


def comment_post(
    *,
    key: ApiKey,
    observation_id: int,
    summary: str,
    content: str,
    before_sending: Callable[[], object],
) -> Written:
    """Post a comment (in Textile) on an observation."""
    if not 0 < len(summary) <= MAX_SUMMARY or not content:
        raise ValueError(f"A comment needs a summary of at most {MAX_SUMMARY} characters and text.")
    form = {
        "target": f"observation #{observation_id}",
        "summary": summary,
        "content": content,
    }
    return _written(api_write("POST", "comments", {}, form, key=key, before_sending=before_sending))


def _check_vote(vote: int) -> None:
    if vote not in VOTES:
        raise ValueError(f"A vote is a whole number from -3 to 3, not {vote}.")


def _written(envelope: Envelope) -> Written:
    """Read the ids of what was written; the API sends them alone, or objects with them."""
    numbers = [
        as_integer(as_object(each).get("id") if isinstance(each, dict) else each)
        for each in envelope.results
    ]
    return Written(tuple(each for each in numbers if each is not None), envelope.user_id)
