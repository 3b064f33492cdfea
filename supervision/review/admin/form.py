"""Parses and applies the form of the review pages.

Fields: `verdict` (confirm, correct or exclude), `species` (for "correct"), and `photo`, once or
more; or `one`, "VERDICT:PHOTO", from the button of a card. A photo is "ID:SPECIES", with the
species that the page showed: a confirmation confirms what was seen, even if it changed meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import QueryDict

from accounts.models import User
from mlmodels.models import Species
from predictions.feedback_services import feedback_close
from predictions.models import Photo
from supervision.review.services import photo_exclude, photo_label


@dataclass(frozen=True)
class ReviewDecision:
    """What an administrator decided about some photos."""

    kind: str
    photos: Sequence[tuple[Photo, Species | None]]
    """Each with its new species, or None to exclude it."""

    def apply(self, by: User) -> list[Photo]:
        """Record the decision, which answers waiting feedback, and return the updated photos."""
        reviewed = [
            photo_exclude(photo=photo, by=by)
            if species is None
            else photo_label(photo=photo, species=species, by=by)
            for photo, species in self.photos
        ]
        for photo in reviewed:
            feedback_close(photo=photo, by=by)
        return reviewed

    def summary(self, photos: Sequence[Photo]) -> str:
        """Return a message for the administrator about the updated photos."""
        done = {"confirm": "confirmed", "correct": "corrected", "exclude": "excluded"}[self.kind]
        text = f"{_count(len(photos))} {done}."
        evaluation = [photo for photo in photos if photo.split == Photo.Split.EVALUATION]
        if evaluation:
            text += (
                f" This includes {_count(len(evaluation))} for evaluation: the frozen set stays "
                "the same until you freeze a new version (Evaluation sets)."
            )
        left_out = [photo for photo in photos if not photo.excluded and not photo.split]
        if left_out:
            text += (
                f" Kept out of training: {_count(len(left_out))} resembling an evaluation photo, "
                "or showing the same find."
            )
        return text


def parse_review_form(form: QueryDict) -> ReviewDecision:
    """Return the decision in a form.

    Raises ValueError, with a message for the administrator, if the form is incomplete or invalid.
    """
    kind, chosen, correct = form.get("verdict", ""), form.getlist("photo"), form.get("species", "")
    if one := form.get("one"):
        kind, _, photo = one.partition(":")
        chosen = [photo]
    if kind not in ("confirm", "correct", "exclude"):
        raise ValueError("Choose what to do: confirm, correct or exclude.")
    if not chosen:
        raise ValueError("No photo was selected. Select one or more, then press the button again.")
    shown = dict(_parse(value) for value in chosen)
    photos = Photo.objects.exclude(file="").in_bulk(list(shown))
    if missing := shown.keys() - photos.keys():
        raise ValueError(f"There is no photo {min(missing)}. Reload the page.")
    species = {each.name: each for each in Species.objects.all()}
    decided: list[tuple[Photo, Species | None]] = []
    for pk, believed in shown.items():
        name = correct if kind == "correct" else believed
        if kind != "exclude" and name not in species:
            problem = f"{name!r} is not a known species" if name else "no species was chosen"
            raise ValueError(
                f"Photo {pk}: {problem}. Choose one from the list, then press Correct."
            )
        decided.append((photos[pk], None if kind == "exclude" else species[name]))
    return ReviewDecision(kind, decided)


def _parse(value: str) -> tuple[int, str]:
    pk, _, believed = value.partition(":")
    if not pk.isascii() or not pk.isdigit() or len(pk) > 18:
        raise ValueError(f"{value[:40]!r} does not name a photo. Reload the page.")
    return int(pk), believed


def _count(photos: int) -> str:
    return "1 photo" if photos == 1 else f"{photos} photos"
