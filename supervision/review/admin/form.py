"""Parses and applies the form of the review pages.

Fields: `verdict` (confirm, correct, other or exclude), `species` (for "correct"), `other_name` (for
"other", may be empty), and `photo`, once or more; or `one`, "VERDICT:PHOTO", from the button of a
card, which for "correct" is "correct:ID:SPECIES". A photo is "ID:LABEL", with the label that the
page showed: a confirmation confirms what was seen, even if it changed meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from django.http import QueryDict
from django.utils.translation import gettext

from accounts.models import User
from mlmodels.models import Species
from predictions.feedback_services import feedback_close
from predictions.labels import Label, OtherSpecies, other_species, other_species_shown
from predictions.models import Photo
from supervision.review.history import done_text, photo_count
from supervision.review.services import photo_exclude, photo_label, photo_label_other

KINDS = ("confirm", "correct", "other", "exclude")


@dataclass(frozen=True)
class ReviewDecision:
    """What an administrator decided about some photos."""

    kind: str
    photos: Sequence[tuple[Photo, Label | None]]
    """Each with its new label, or None to exclude it."""

    def apply(self, by: User) -> list[Photo]:
        """Record the decision, which answers waiting feedback, and return the updated photos."""
        decision = uuid4()
        photos = []
        for photo, label in self.photos:
            if label is None:
                reviewed = photo_exclude(photo=photo, by=by, decision=decision)
            elif isinstance(label, OtherSpecies):
                reviewed = photo_label_other(photo=photo, other=label, by=by, decision=decision)
            else:
                reviewed = photo_label(photo=photo, species=label, by=by, decision=decision)
            feedback_close(photo=reviewed, by=by)
            photos.append(reviewed)
        return photos

    def summary(self, photos: Sequence[Photo]) -> str:
        """Return a message for the administrator about the updated photos."""
        text = f"{done_text(self.kind, len(photos))}."
        evaluation = [photo for photo in photos if photo.split == Photo.Split.EVALUATION]
        if evaluation:
            more = gettext(
                "This includes %(photos)s for evaluation: the frozen set stays the same until you "
                "freeze a new version (Evaluation sets)."
            )
            text += " " + more % {"photos": photo_count(len(evaluation))}
        left_out = [photo for photo in photos if not photo.excluded and not photo.split]
        if left_out:
            if any(photo.is_other for photo in left_out):
                more = gettext(
                    "Kept out of training: %(photos)s resembling an evaluation photo, or showing "
                    "the same find, or of the same genus."
                )
            else:
                more = gettext(
                    "Kept out of training: %(photos)s resembling an evaluation photo, or showing "
                    "the same find."
                )
            text += " " + more % {"photos": photo_count(len(left_out))}
        return text


def parse_review_form(form: QueryDict) -> ReviewDecision:
    """Return the decision in a form.

    Raises ValueError, with a message for the administrator, if the form is incomplete or invalid.
    """
    kind, chosen, correct = form.get("verdict", ""), form.getlist("photo"), form.get("species", "")
    other_name = form.get("other_name", "")
    if one := form.get("one"):
        kind, _, photo = one.partition(":")
        # What stands in the bar is about the selected photos.
        chosen, other_name, correct = [photo], "", photo.partition(":")[2]
    if kind not in KINDS:
        raise ValueError(
            gettext("Choose what to do: confirm, correct, mark as other species or exclude.")
        )
    if not chosen:
        raise ValueError(
            gettext("No photo was selected. Select one or more, then press the button again.")
        )
    shown = dict(_parse(value) for value in chosen)
    photos = Photo.objects.exclude(file="").in_bulk(list(shown))
    if missing := shown.keys() - photos.keys():
        raise ValueError(
            gettext("There is no photo %(number)d. Reload the page.") % {"number": min(missing)}
        )
    if kind == "exclude":
        return ReviewDecision(kind, [(photos[pk], None) for pk in shown])
    if kind == "other":
        other = other_species(other_name)
        return ReviewDecision(kind, [(photos[pk], other) for pk in shown])
    species = {each.name: each for each in Species.objects.all()}
    decided: list[tuple[Photo, Label | None]] = []
    for pk, believed in shown.items():
        name = correct if kind == "correct" else believed
        other_shown = other_species_shown(name) if kind == "confirm" else None
        label: Label | None = other_shown or species.get(name)
        if label is None:
            if name:
                problem = gettext(
                    "Photo %(number)d: “%(name)s” is not a known species. Choose one from the "
                    "list, then press Correct."
                )
            else:
                problem = gettext(
                    "Photo %(number)d: no species was chosen. Choose one from the list, then "
                    "press Correct."
                )
            raise ValueError(problem % {"number": pk, "name": name})
        decided.append((photos[pk], label))
    return ReviewDecision(kind, decided)


def _parse(value: str) -> tuple[int, str]:
    pk, _, believed = value.partition(":")
    if not pk.isascii() or not pk.isdigit() or len(pk) > 18:
        raise ValueError(
            gettext("“%(value)s” does not name a photo. Reload the page.") % {"value": value[:40]}
        )
    return int(pk), believed
