"""Reads the names that people write for species: author, case, "cf." and varieties aside."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from common.messages import Message

MAX_NAME_LENGTH = 250
"""Characters. Mushroom Observer allows 221 for a name with its author."""

Obstacle = Literal["genus_alone", "related_species", "hybrid", "several_names"]
"""Why a name is not that of one species.

- `genus_alone`: it names a genus, or part of one
- `related_species`: "aff." and the like: not this species, but one close to it
- `hybrid`: a cross of two species
- `several_names`: two names, of which one may be right
"""

_UNCERTAIN = {"cf", "conf", "confer", "?"}
_GROUP = {"group", "gr", "grp", "agg", "aggr", "complex"}
_RELATED = {"aff", "affin", "nr", "near", "prope"}
_GENUS = {"sp", "spp", "species", "sect", "section", "subg", "subgen", "subgenus", "ser", "stirps"}
_HYBRID = {"x", "hybrid"}
_ALTERNATIVE = {"/", "or", "vs", "versus"}
_TYPED: dict[str, str | int | None] = {"\u2010": "-", "\u2011": "-", "\u2013": "-", "\u00d7": " x "}
_TYPED |= dict.fromkeys("\u2018\u2019\u201c\u201d", "'")
"""What typesetters write for characters of a keyboard: hyphens, the times sign, quotes."""
_PUNCTUATION = frozenset(" .,;:?!()[]'\"&/+-") | _TYPED.keys()
_EPITHET = re.compile("[a-z]+(-[a-z]+)*")


class InvalidName(ValueError):  # noqa: N818 - a condition to report, not a fault
    """The text cannot be a scientific name; the message says why, and what to send instead."""


@dataclass(frozen=True)
class ParsedName:
    """A scientific name, as far as it matters here."""

    text: str
    """The name as it was given, with single spaces instead of other spaces and underscores."""
    species: str | None
    """Genus and epithet in lower case ("amanita muscaria"), or None if there is an obstacle."""
    obstacle: Obstacle | None


def parse_name(text: str) -> ParsedName:
    """Return the species that a text names, ignoring what does not change it.

    That is case, accents, underscores and more spaces than one, authors, "cf." and "?", "group",
    and everything below the rank of a species ("Amanita muscaria var. guessowii (Veselý) Thorn" is
    *Amanita muscaria*).
    Raises InvalidName if the text is empty, longer than MAX_NAME_LENGTH, or has characters that no
    scientific name has.
    """
    text = _clean(text)
    words = _words(text)
    plain = [word.strip("[]\"'").rstrip(".,;:!)") for word in words]
    if any(word.lstrip("(") in _RELATED for word in plain):
        return ParsedName(text, None, "related_species")
    if any(word in _HYBRID for word in plain):
        return ParsedName(text, None, "hybrid")
    if any(word in _ALTERNATIVE for word in plain):
        return ParsedName(text, None, "several_names")
    named = [word for word in plain if word not in _UNCERTAIN and word not in _GROUP]
    if len(named) > 2 and named[1].startswith("("):  # a subgenus
        del named[1]
    if len(named) < 2 or named[1] in _GENUS or not _EPITHET.fullmatch(named[1]):
        return ParsedName(text, None, "genus_alone")
    return ParsedName(text, f"{named[0]} {named[1]}", None)


def _clean(text: str) -> str:
    """Return the text with single spaces, in Unicode's form C; raise InvalidName if it is odd."""
    if len(text) > MAX_NAME_LENGTH:
        raise InvalidName(
            Message(
                "The name has %(count)d characters; at most %(limit)d are allowed.",
                count=len(text),
                limit=MAX_NAME_LENGTH,
            )
        )
    # Mushroom Observer sends names with marks for bold and italic: **__Amanita muscaria__** (L.)
    cleaned = unicodedata.normalize("NFC", " ".join(re.sub(r"[_*\s]", " ", text).split()))
    for character in cleaned:
        if not _is_allowed(character):
            raise InvalidName(
                Message(
                    "The name has the character %(code)s, which no scientific name has. Send a "
                    'name like "Amanita muscaria".',
                    code=f"U+{ord(character):04X}",
                )
            )
    if not any(character.isalpha() for character in cleaned):
        raise InvalidName(Message('The name has no letters. Send a name like "Amanita muscaria".'))
    return cleaned


def _is_allowed(character: str) -> bool:
    """Return whether it is a Latin letter, an accent, an ASCII digit or usual punctuation."""
    category = unicodedata.category(character)
    if category.startswith("L"):
        return unicodedata.name(character, "").startswith("LATIN ")
    return category == "Mn" or character in "0123456789" or character in _PUNCTUATION


def _words(text: str) -> list[str]:
    """Return the words in lower case without accents; "?" and "/" are words of their own."""
    decomposed = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()
    plain = plain.translate(str.maketrans(_TYPED)).lstrip("('\" ")
    return re.sub(r"([?/])", r" \1 ", plain.replace("(", " (")).split()
