"""Reads from Mushroom Observer's API. Every function raises a MushroomObserverError.

`is_background` says that no person waits: people's calls go first.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from common.messages import Message
from observations.mushroom_observer.answers import (
    Name,
    Naming,
    Observation,
    read_name,
    read_naming,
    read_observation,
)
from observations.mushroom_observer.cache import (
    NAMES,
    OBSERVATIONS,
    PROBES,
    Kept,
    cache,
    cached,
)
from observations.mushroom_observer.errors import (
    MissingEndpointError,
    NonsenseError,
    NotFoundError,
    RefusedError,
)
from observations.mushroom_observer.references import observation_url
from observations.mushroom_observer.transport import ApiKey, api_get
from observations.mushroom_observer.values import as_integer, as_object

MAX_IDS = 100
"""Objects asked for in one call: a page of high detail."""
A_NAME = 22781
"""Id of a name that the site has (*Cerioporus squamosus*): a call about what is not there fails."""

Found = TypeVar("Found", Observation, Name)


class NamingsPage(NamedTuple):
    namings: list[Naming]
    number_of_pages: int


class IdsPage(NamedTuple):
    ids: list[int]
    number_of_pages: int


def observation_read(
    observation_id: int, *, is_fresh: bool = False, is_background: bool = False
) -> Observation:
    """Return an observation with its images, namings and votes.

    It may be up to a minute old, unless `is_fresh` is true. Raises NotFoundError if there is none.
    """
    found = observations_read([observation_id], is_fresh=is_fresh, is_background=is_background)
    if observation_id not in found:
        raise not_found(observation_id)
    return found[observation_id]


def not_found(observation_id: int) -> NotFoundError:
    """Return the error that says that the site has no such observation."""
    return NotFoundError(
        Message(
            "There is no observation %(id)d at Mushroom Observer. Check the number: %(url)s",
            id=observation_id,
            url=observation_url(observation_id),
        )
    )


def observations_read(
    ids: Iterable[int], *, is_fresh: bool = False, is_background: bool = False
) -> dict[int, Observation]:
    """Return observations by id; those that do not exist are left out. MAX_IDS take one call."""
    return _read(
        OBSERVATIONS, ids, read_observation, is_fresh=is_fresh, is_background=is_background
    )


def names_read(ids: Iterable[int], *, is_background: bool = False) -> dict[int, Name]:
    """Return names with their synonyms by id; they may be up to a week old."""
    return _read(NAMES, ids, read_name, is_fresh=False, is_background=is_background)


def names_called(texts: Sequence[str], *, is_background: bool = False) -> list[Name]:
    """Return the names that are written so, with their synonyms; at most MAX_IDS texts.

    The site refuses the whole call if one of them does not exist: RefusedError.
    """
    parameters = {"name": ",".join(texts[:MAX_IDS]), "detail": "high"}
    results = api_get("names", parameters, is_background=is_background).results
    names = {str(name.id): name for each in results if (name := read_name(each))}
    cache(NAMES, {str(name.id): each for each in results if (name := read_name(each))})
    return list(names.values())


def has_namings(*, is_background: bool = True) -> bool:
    """Return whether the site's API knows namings, which it does since August 2026.

    It is asked once a day.
    """
    known = cached(PROBES, ["namings"])
    if not known:
        try:
            api_get("namings", {"id": 1, "detail": "none"}, is_background=is_background)
            known = {"namings": True}
        except (MissingEndpointError, RefusedError) as error:
            is_absent = isinstance(error, MissingEndpointError) or "Action" in error.site_code
            known = {"namings": not is_absent}
        cache(PROBES, known)
    return bool(known["namings"])


def namings_page(
    name_ids: Sequence[int],
    *,
    since: datetime,
    until: datetime,
    page: int = 1,
    is_background: bool = True,
) -> NamingsPage:
    """Return a page of the namings of these names that changed in a time; 1,000 a page.

    Ask only if `has_namings()`. Choose by confidence from what comes back.
    """
    envelope = api_get(
        "namings",
        {
            "name": ",".join(map(str, name_ids)),
            "updated_at": f"{_digits(since)}-{_digits(until)}",
            "detail": "low",
            "page": page,
        },
        is_background=is_background,
    )
    namings = [naming for each in envelope.results if (naming := read_naming(each))]
    return NamingsPage(namings, envelope.number_of_pages)


def observation_ids_page(
    name_ids: Sequence[int], *, confidence: int, page: int = 1, is_background: bool = True
) -> IdsPage:
    """Return the ids of observations with photos whose consensus is one of these names.

    Or a synonym of it, at this confidence (-3 to 3). This is what the API can do where it knows no
    namings; names that others than the consensus are not found.
    """
    envelope = api_get(
        "observations",
        {
            "name": ",".join(map(str, name_ids)),
            "include_synonyms": 1,
            "has_images": 1,
            "confidence": confidence,
            "detail": "none",
            "page": page,
        },
        is_background=is_background,
    )
    ids = [number for each in envelope.results if (number := as_integer(each)) is not None]
    return IdsPage(ids, envelope.number_of_pages)


def key_owner(key: ApiKey, *, is_background: bool = False) -> int | None:
    """Return the id of the user whose API key this is, or None if the site does not say.

    Raises RefusedError if the site does not know the key.
    """
    parameters = {"id": A_NAME, "detail": "none"}
    return api_get("names", parameters, key=key, is_background=is_background).user_id


def _read(
    kept: Kept,
    ids: Iterable[int],
    read: Callable[[Any], Found | None],
    *,
    is_fresh: bool,
    is_background: bool,
) -> dict[int, Found]:
    wanted = list(dict.fromkeys(ids))
    known = {} if is_fresh else cached(kept, map(str, wanted))
    missing = [number for number in wanted if str(number) not in known]
    for start in range(0, len(missing), MAX_IDS):
        new = _objects(kept.kind, missing[start : start + MAX_IDS], is_background=is_background)
        cache(kept, new)
        known |= new
    found = {number: read(known[str(number)]) for number in wanted if str(number) in known}
    return {number: each for number, each in found.items() if each is not None}


def _objects(kind: str, ids: list[int], *, is_background: bool) -> dict[str, Any]:
    """Return objects of high detail by id, in one call.

    The site may refuse the call if one of them does not exist; then it is asked for the others.
    """
    parameters = {"id": ",".join(map(str, ids)), "detail": "high"}
    try:
        results = api_get(kind, parameters, is_background=is_background).results
    except RefusedError as error:
        named = {int(digits) for digits in re.findall(r"[0-9]{1,12}", error.reason)}
        others = [number for number in ids if number not in named]
        if "NotFound" not in error.site_code or 1 < len(ids) == len(others):
            raise
        is_one = len(ids) == 1
        return {} if is_one or not others else _objects(kind, others, is_background=is_background)
    by_id = {as_integer(as_object(each).get("id")): each for each in results}
    found = {str(number): by_id[number] for number in ids if number in by_id}
    if results and not found:
        raise NonsenseError(
            Message("Mushroom Observer answered with other things than were asked for.")
        )
    return found


def _digits(at: datetime) -> str:
    """Return a time as the API reads it: in UTC, without punctuation."""
    return at.astimezone(UTC).strftime("%Y%m%d%H%M%S")
