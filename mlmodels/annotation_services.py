"""Writes an administrator's note and tags on a version or a run."""

from django.utils.translation import gettext as _

from mlmodels.models import MAX_TAG, Annotated

MAX_TAGS = 20


def annotate(*, row: Annotated, note: str, tags: str) -> None:
    """Replace the note and the tags of a version or a run; `tags` are separated by commas.

    Upper case, spaces around tags and repetitions do not count. Raises ValueError, with a message
    for the administrator, if there are too many tags or one is too long.
    """
    row.note, row.tags = note.strip(), parse_tags(tags)
    row.save(update_fields=["note", "tags"])


def parse_tags(text: str) -> list[str]:
    """Return the tags of a text, sorted. Raises ValueError as `annotate` does."""
    tags = sorted({" ".join(tag.split()).lower() for tag in text.split(",")} - {""})
    if len(tags) > MAX_TAGS:
        raise ValueError(_("There may be %(max)d tags at most.") % {"max": MAX_TAGS})
    for tag in tags:
        if len(tag) > MAX_TAG:
            message = _("The tag “%(tag)s…” is longer than %(max)d characters.")
            raise ValueError(message % {"tag": tag[:MAX_TAG], "max": MAX_TAG})
    return tags
