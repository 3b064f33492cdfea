"""What Mushroom Observer answers, as types. `read_…` makes them of its JSON.

Nothing in that JSON is relied on but an object's id: what is absent or odd becomes None, "" or an
empty tuple. An object without an id becomes None and is left out of lists.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from mlmodels.names import MAX_NAME_LENGTH
from observations.mushroom_observer.values import (
    as_boolean,
    as_date,
    as_decimal,
    as_integer,
    as_object,
    as_objects,
    as_text,
    as_time,
)
from predictions.licences import licence_url

VOTES = {
    3.0: "I'd call it that",
    2.0: "promising",
    1.0: "could be",
    0.0: "no opinion",
    -1.0: "doubtful",
    -2.0: "not likely",
    -3.0: "as if",
}
"""The scale of votes, with the site's words."""


def attribution_text(year: int | None, holder: str) -> str:
    """Return the sign of copyright with what is known of year and holder."""
    return "© " + (" ".join(each for each in (str(year or ""), holder) if each) or "?")


@dataclass(frozen=True)
class Person:
    id: int | None
    login: str = ""
    legal_name: str = ""


@dataclass(frozen=True)
class Name:
    """A name. `synonym_id` is shared by all names of a synonymy, misspellings included."""

    id: int
    text: str
    author: str = ""
    rank: str = ""
    is_deprecated: bool = False
    is_misspelled: bool = False
    synonym_id: int | None = None
    synonyms: tuple["Name", ...] = ()
    """The other names of the synonymy; only where names were asked for, at high detail."""


@dataclass(frozen=True)
class Vote:
    naming_id: int
    value: float
    """-3 to 3; see VOTES."""
    user: Person


@dataclass(frozen=True)
class Naming:
    """A name that somebody proposed for an observation."""

    id: int
    name: Name
    owner: Person
    confidence: float | None = None
    """The weighted mean of the votes, -3 to 3."""
    votes: tuple[Vote, ...] = ()
    reasons: tuple[tuple[str, str], ...] = ()
    """Pairs of the kind of a reason and its notes."""
    observation_id: int | None = None
    """Only where namings were asked for."""
    updated_at: datetime | None = None


@dataclass(frozen=True)
class Comment:
    id: int
    summary: str
    owner: Person


@dataclass(frozen=True)
class Image:
    id: int
    holder: str = ""
    year: int | None = None
    licence: str = ""
    """As the site names it."""
    is_exportable: bool = False
    owner: Person = Person(None)

    @property
    def licence_url(self) -> str:
        """The address of its licence; empty if all rights are reserved, or it is not known."""
        return licence_url(self.licence)

    @property
    def is_usable(self) -> bool:
        """Whether it may be shown and trained on: exportable, under a known licence."""
        return self.is_exportable and bool(self.licence_url)

    @property
    def attribution(self) -> str:
        """What stands beside it, with a link to its page and its licence: "© 2019 Jane Doe"."""
        return attribution_text(self.year, self.holder)


@dataclass(frozen=True)
class Observation:
    id: int
    seen_on: date | None = None
    confidence: float | None = None
    """Of the consensus; -3 to 3."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    place: str = ""
    notes: str = ""
    """With the site's HTML."""
    owner: Person = Person(None)
    consensus: Name | None = None
    namings: tuple[Naming, ...] = ()
    images: tuple[Image, ...] = ()
    """The primary one first."""
    comments: tuple[Comment, ...] = ()

    @property
    def names(self) -> tuple[Name, ...]:
        """All names that are proposed, and the consensus; one may be there several times."""
        proposed = tuple(naming.name for naming in self.namings)
        return proposed if self.consensus is None else (*proposed, self.consensus)

    @property
    def fingerprint(self) -> str:
        """A digest of its images, names and votes: another one says that it has changed."""
        parts = [
            [image.id for image in self.images],
            [[naming.id, naming.name.id] for naming in self.namings],
            sorted(
                [vote.naming_id, vote.user.id or 0, vote.value]
                for naming in self.namings
                for vote in naming.votes
            ),
            self.consensus.id if self.consensus else None,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read_observation(value: Any) -> Observation | None:
    """Return an observation of detail low or high."""
    value = as_object(value)
    number = as_integer(value.get("id"))
    if number is None:
        return None
    votes = [vote for each in as_objects(value.get("votes")) if (vote := _read_vote(each))]
    namings = [_read_naming(each, votes) for each in as_objects(value.get("namings"))]
    pictures = [value.get("primary_image"), *as_objects(value.get("images"))]
    images = {image.id: image for each in pictures if (image := read_image(each))}
    return Observation(
        id=number,
        seen_on=as_date(value.get("date")),
        confidence=as_decimal(value.get("confidence")),
        created_at=as_time(value.get("created_at")),
        updated_at=as_time(value.get("updated_at")),
        place=as_text(value.get("location_name") or as_object(value.get("location")).get("name")),
        notes=as_text(value.get("notes")),
        owner=_read_person(value.get("owner"), value.get("owner_id")),
        consensus=read_name(value.get("consensus")) or _low_consensus(value),
        namings=tuple({naming.id: naming for naming in namings if naming}.values()),
        images=tuple(images.values()),
        comments=tuple(
            comment
            for each in as_objects(value.get("comments"))
            if (comment := _read_comment(each))
        ),
    )


def _read_comment(value: dict[str, Any]) -> Comment | None:
    number = as_integer(value.get("id"))
    if number is None:
        return None
    owner = _read_person(value.get("owner"), value.get("owner_id"))
    return Comment(number, as_text(value.get("summary"), 200), owner)


def _low_consensus(value: dict[str, Any]) -> Name | None:
    return read_name({"id": value.get("consensus_id"), "name": value.get("consensus_name")})


def read_name(value: Any) -> Name | None:
    """Return a name of detail low or high, or one within an observation."""
    value = as_object(value)
    number, text = as_integer(value.get("id")), as_text(value.get("name"), MAX_NAME_LENGTH)
    if number is None or not text:
        return None
    synonyms = [read_name(each) for each in as_objects(value.get("synonyms"))]
    return Name(
        id=number,
        text=text,
        author=as_text(value.get("author"), MAX_NAME_LENGTH),
        rank=as_text(value.get("rank"), 40).lower(),
        is_deprecated=as_boolean(value.get("deprecated")),
        is_misspelled=as_boolean(value.get("misspelled")),
        synonym_id=as_integer(value.get("synonym_id")),
        synonyms=tuple(each for each in synonyms if each),
    )


def read_naming(value: Any) -> Naming | None:
    """Return a naming where namings were asked for; its votes come along at high detail."""
    value = as_object(value)
    number = as_integer(value.get("id"))
    own = [{"naming_id": number} | each for each in as_objects(value.get("votes"))]
    return _read_naming(value, [vote for each in own if (vote := _read_vote(each))])


def _read_naming(value: dict[str, Any], votes: list[Vote]) -> Naming | None:
    number, name = as_integer(value.get("id")), read_name(value.get("name"))
    if number is None or name is None:
        return None
    return Naming(
        id=number,
        name=name,
        owner=_read_person(value.get("owner"), value.get("owner_id")),
        confidence=as_decimal(value.get("confidence")),
        votes=tuple(vote for vote in votes if vote.naming_id == number),
        reasons=tuple(
            (as_text(each.get("reason") or each.get("type"), 200), as_text(each.get("notes")))
            for each in as_objects(value.get("reasons"))
        ),
        observation_id=as_integer(value.get("observation_id")),
        updated_at=as_time(value.get("updated_at")),
    )


def _read_vote(value: dict[str, Any]) -> Vote | None:
    naming_id, confidence = as_integer(value.get("naming_id")), as_decimal(value.get("confidence"))
    if naming_id is None or confidence is None or not -3 <= confidence <= 3:
        return None
    return Vote(naming_id, confidence, _read_person(value.get("owner"), value.get("owner_id")))


def read_image(value: Any) -> Image | None:
    """Return an image. Without `ok_for_export` it is not exportable: false is left out."""
    value = as_object(value)
    number, taken = as_integer(value.get("id")), as_date(value.get("date"))
    if number is None:
        return None
    licence = value.get("license")
    if isinstance(licence, dict):
        licence = licence.get("name") or licence.get("url")
    return Image(
        id=number,
        holder=as_text(value.get("copyright_holder"), 200),
        year=taken.year if taken else None,
        licence=as_text(licence, 200),
        is_exportable=as_boolean(value.get("ok_for_export")),
        owner=_read_person(value.get("owner"), value.get("owner_id")),
    )


def _read_person(value: Any, number: Any = None) -> Person:
    if not isinstance(value, dict):
        return Person(as_integer(number if value is None else value))
    return Person(
        id=as_integer(value.get("id")),
        login=as_text(value.get("login_name"), 200),
        legal_name=as_text(value.get("legal_name"), 200),
    )
