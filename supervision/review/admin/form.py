"""What a form of the review asks for.

Fields: `verdict` (confirm, correct, exclude), for "correct" the `species`, and `photo`, again and
again; or `one`, a button's "VERDICT:PHOTO". A photo is "ID:SPECIES" with the species that the page
showed: what is confirmed is what was seen, whatever has been written since.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import QueryDict

from accounts.models import User
from mlmodels.models import Species
from predictions.models import Photo
from supervision.review.services import photo_exclude, photo_label


@dataclass(frozen=True)
class Verdict:
    """What an administrator says of some photos."""

    kind: str
    photos: Sequence[tuple[Photo, Species | None]]
    """Each with the species that it is to have; None: it is excluded."""

    def give(self, by: User) -> list[Photo]:
        """Write it down, and return the photos as they are then."""
        return [
            photo_exclude(photo=photo, by=by)
            if species is None
            else photo_label(photo=photo, species=species, by=by)
            for photo, species in self.photos
        ]

    def in_words(self, photos: Sequence[Photo]) -> str:
        """Say what became of the photos."""
        done = {"confirm": "confirmed", "correct": "corrected", "exclude": "excluded"}[self.kind]
        text = f"{_count(len(photos))} {done}."
        evaluation = [photo for photo in photos if photo.split == Photo.Split.EVALUATION]
        if evaluation:
            text += (
                f" {_count(len(evaluation))} of the evaluation: the frozen set is as it was, until "
                "you freeze a new version of it (Evaluation sets)."
            )
        near = [photo for photo in photos if not photo.excluded and not photo.split]
        if near:
            text += (
                f" {_count(len(near))} of them stay out of training: they resemble an evaluation "
                "photo, or show the same find."
            )
        return text


def review_asked(form: QueryDict) -> Verdict:
    """Return what a form asks for; raise ValueError, for a person, where it makes no sense."""
    kind, chosen, correct = form.get("verdict", ""), form.getlist("photo"), form.get("species", "")
    if one := form.get("one"):
        kind, _, photo = one.partition(":")
        chosen = [photo]
    if kind not in ("confirm", "correct", "exclude"):
        raise ValueError("Say what to do: confirm, correct or exclude.")
    if not chosen:
        raise ValueError("No photo was selected. Tick one or more, then press the button again.")
    shown = dict(_parse(value) for value in chosen)
    photos = Photo.objects.in_bulk(list(shown))
    if lost := shown.keys() - photos.keys():
        raise ValueError(f"There is no photo {min(lost)}. Reload the page.")
    species = {each.name: each for each in Species.objects.all()}
    wanted: list[tuple[Photo, Species | None]] = []
    for pk, believed in shown.items():
        name = correct if kind == "correct" else believed
        if kind != "exclude" and name not in species:
            said = f"{name!r} is no species that is known" if name else "no species was chosen"
            raise ValueError(f"For photo {pk}, {said}. Choose one from the list, and Correct.")
        wanted.append((photos[pk], None if kind == "exclude" else species[name]))
    return Verdict(kind, wanted)


def _parse(value: str) -> tuple[int, str]:
    pk, _, believed = value.partition(":")
    if not pk.isascii() or not pk.isdigit() or len(pk) > 18:
        raise ValueError(f"{value[:40]!r} names no photo. Reload the page.")
    return int(pk), believed


def _count(photos: int) -> str:
    return "1 photo" if photos == 1 else f"{photos} photos"
