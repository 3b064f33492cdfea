"""Who says what a photo shows, in words: a model guessed it, or a person knows it."""

from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext

from common.paging import MAX_REVIEWED
from predictions.labels import OTHER_TEXT, REVIEWED
from predictions.models import Photo

Source = Photo.LabelSource


def is_guess(photo: Photo) -> bool:
    """Return whether only a model says what the photo shows."""
    return photo.label_source in (Source.NONE, Source.PREDICTED)


def who_says(photo: Photo) -> str:
    """Return what stands before the name that a photo of `photos_for_review` is believed to have.

    A person's word is told from a model's guess.
    """
    if not photo.believed:  # type: ignore[attr-defined]
        return gettext("Nobody has named it")
    if is_guess(photo):
        return gettext("A model's guess")
    if photo.label_source in REVIEWED:
        name = str(photo.reviewed_by or gettext("a deleted user"))
        if photo.label_source == Source.CORRECTED:
            return gettext("%(name)s corrected it to") % {"name": name}
        return gettext("%(name)s confirmed") % {"name": name}
    if photo.label_source == Source.SETTLED:
        return gettext("Settled at Mushroom Observer")
    return gettext("Imported as")


def label_text(believed: str | None) -> str:
    """Return a label as people read it: of another species in the active language."""
    if not believed:
        return gettext("no species")
    shown, colon, name = believed.partition(": ")
    other = gettext("other species")
    return f"{other}{colon}{name}" if shown == OTHER_TEXT else believed


def waiting_text(count: int) -> str:
    """Return how many photos of a list there are to go through."""
    if not count:
        return gettext("No photo is left here.")
    if count >= MAX_REVIEWED:
        shown = number_format(MAX_REVIEWED, force_grouping=True)
        return gettext("%(count)s photos or more are left here.") % {"count": shown}
    return ngettext("%(count)d photo is left here.", "%(count)d photos are left here.", count) % {
        "count": count
    }
