"""What a photo may be labelled as: a species that models know, or *other species*."""

from dataclasses import dataclass

from common.messages import Message
from mlmodels.models import Species
from mlmodels.names import parse_name
from mlmodels.species_selectors import species_called
from predictions.models import MAX_OTHER_NAME, Photo

REVIEWED = (Photo.LabelSource.CONFIRMED, Photo.LabelSource.CORRECTED)
"""Sources of the labels that an administrator gave."""
NAMED = (Photo.LabelSource.IMPORTED, Photo.LabelSource.SETTLED, *REVIEWED)
"""Sources of the labels that people gave."""
LABEL_FIELDS = ("label", "is_other", "other_name")
"""The fields of a photo that hold its label."""

OTHER_TEXT = "other species"
"""How the label without a name is shown; a colon and the name follow where there is one."""


@dataclass(frozen=True)
class OtherSpecies:
    """The label of a photo that shows none of the species that models know."""

    name: str = ""
    """As somebody gave it, tidied by `other_species`; empty: nobody knows."""

    @property
    def genus(self) -> str:
        """The first word of the name; empty if nobody knows it."""
        return self.name.partition(" ")[0]

    def __str__(self) -> str:
        return f"{OTHER_TEXT}: {self.name}" if self.name else OTHER_TEXT


Label = Species | OtherSpecies


def other_species(name: str) -> OtherSpecies:
    """Return the label of a photo that shows a species of this name, or of an unknown one ("").

    Underscores count as spaces, the genus comes first and has a capital. Raises ValueError, with a
    message for the administrator, if the name cannot be stored or is one of a known species.
    """
    if not name.strip():
        return OtherSpecies()
    parsed = parse_name(name)
    known = species_called(name)
    if known is not None:
        raise ValueError(
            Message(
                "%(name)s is %(species)s, a species that models know.",
                name=parsed.text,
                species=known,
            )
        )
    genus, _, rest = parsed.text.partition(" ")
    if parsed.species is not None and genus.casefold() != parsed.species.partition(" ")[0]:
        genus, _, rest = parsed.species.partition(" ")  # as of "cf. Boletus edulis"
    tidy = f"{genus.capitalize()} {rest}".strip()
    if len(tidy) > MAX_OTHER_NAME:
        raise ValueError(
            Message(
                "A name has at most %(limit)d characters, not %(count)d.",
                limit=MAX_OTHER_NAME,
                count=len(tidy),
            )
        )
    return OtherSpecies(tidy)


def other_species_shown(text: str) -> OtherSpecies | None:
    """Return the label that is shown as this text, or None if it is not shown as other species.

    Raises ValueError as `other_species` does.
    """
    shown, _, name = text.partition(": ")
    return other_species(name) if shown == OTHER_TEXT else None


def label_of(photo: Photo) -> Label | None:
    """Return a photo's label, or None if nobody and no model has named it."""
    return OtherSpecies(photo.other_name) if photo.is_other else photo.label


def label_set(photo: Photo, label: Label | None) -> None:
    """Set the fields of a photo's label (LABEL_FIELDS) without saving it."""
    if isinstance(label, OtherSpecies):
        photo.label, photo.is_other, photo.other_name = None, True, label.name
    else:
        photo.label, photo.is_other, photo.other_name = label, False, ""
