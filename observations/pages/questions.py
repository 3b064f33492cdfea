"""Reads what people ask in the form of the first page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from django.utils.translation import gettext

from common.messages import Text
from mlmodels.names import InvalidName, parse_name
from observations.api.serializers import MAX_NAMES, MAX_PHOTOS
from observations.mushroom_observer.errors import BadReferenceError
from observations.mushroom_observer.references import observation_id

MAX_LINES = 100
"""Photo addresses and observations that one form may have."""
SHOWN_CHARACTERS = 80
"""Of a line that could not be read, in the message about it."""


class QuestionRefused(Exception):  # noqa: N818 - an answer, not a fault
    """Nothing of a form was asked. `detail` says why; `status` is that of the response."""

    def __init__(self, detail: Text, status: int = 422, wait_s: float | None = None) -> None:
        self.detail, self.status, self.wait_s = detail, status, wait_s
        super().__init__(detail)


@dataclass(frozen=True)
class Question:
    """What a form asks: each of `finds` becomes an observation.

    A find is a list of photos (uploads and addresses), or the number of an observation of Mushroom
    Observer. `problems` are sentences about what could not be read, and was left out.
    """

    finds: list[list[str | UploadedFile] | int]
    proposed: list[str]
    problems: list[str] = field(default_factory=list)

    @property
    def cost(self) -> int:
        """How many requests the form counts as: one for each photo or observation."""
        return sum(len(find) if isinstance(find, list) else 1 for find in self.finds)


def read_question(fields: QueryDict, uploads: Sequence[UploadedFile]) -> Question:
    """Return what a form asks. Raises QuestionRefused if that is nothing, or too much.

    Fields: `lines` (a photo's address, or an observation's number or address, in each line),
    `together` (all photos show one find) and `proposed` (names; several times).
    """
    problems: list[str] = []
    numbers, photos = [], list[str | UploadedFile](uploads)
    lines = [line.strip() for line in fields.get("lines", "").splitlines() if line.strip()]
    if len(lines) > MAX_LINES:
        raise QuestionRefused(
            gettext("Ask at most %(max)d lines at a time; these are %(count)d.")
            % {"max": MAX_LINES, "count": len(lines)}
        )
    for line in dict.fromkeys(lines):
        try:
            numbers.append(observation_id(line))
        except BadReferenceError:
            if re.match("https?://", line, re.IGNORECASE):
                photos.append(line)
            else:
                problems.append(_unreadable(line))
    finds: list[list[str | UploadedFile] | int] = list(dict.fromkeys(numbers))
    if fields.get("together") and photos:
        if len(photos) > MAX_PHOTOS:
            raise QuestionRefused(
                gettext("A find has at most %(max)d photos; these are %(count)d.")
                % {"max": MAX_PHOTOS, "count": len(photos)}
            )
        finds.append(photos)
    else:
        finds += [[photo] for photo in photos]
    if not finds:
        nothing = gettext("Choose photos, or enter their addresses or observation numbers.")
        raise QuestionRefused(" ".join(problems) or nothing)
    proposed, bad_names = read_names(fields)
    return Question(finds, proposed, problems + bad_names)


def read_names(fields: QueryDict) -> tuple[list[str], list[str]]:
    """Return the names of the fields `proposed`, and sentences about those that are none."""
    names, problems = [], []
    for text in dict.fromkeys(name.strip() for name in fields.getlist("proposed") if name.strip()):
        try:
            parse_name(text)
        except InvalidName as error:
            problems.append(
                gettext("“%(name)s” was left out: %(why)s")
                % {"name": text[:SHOWN_CHARACTERS], "why": error}
            )
        else:
            names.append(text)
    if len(names) > MAX_NAMES:
        told = gettext("Only the first %(max)d names were taken.")
        problems.append(told % {"max": MAX_NAMES})
    return names[:MAX_NAMES], problems


def _unreadable(line: str) -> str:
    return gettext(
        "“%(line)s” is neither the address of a photo (https://…) nor the number or address of an "
        "observation of Mushroom Observer."
    ) % {"line": line[:SHOWN_CHARACTERS]}
