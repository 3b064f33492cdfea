"""Messages for people that are told in the language of whoever reads them.

A worker stores why a photo failed before anybody knows who will read it. So what is stored is the
English text with its parameters, and each reader gets it in their language (`MessageField`).
"""

# django-stubs takes every attribute of a Promise for one of the text.
# mypy: disable-error-code="misc"

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

from django.db import models
from django.utils.formats import get_format, number_format
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext

if TYPE_CHECKING:
    from django.db.models.expressions import Combinable
    from django.utils.functional import _StrPromise as TextPromise

    TextColumn = models.TextField[str | TextPromise | Combinable, str | TextPromise]
else:
    TextPromise, TextColumn = Promise, models.TextField

Text = Union[str, "TextPromise"]
"""A text for people: in one language, or one that is translated when it is shown."""

_PLACE = re.compile(r"%\((\w+)\)([+.\d]*[dfgs])|%%")
_BEGINNING = '{"text": '
"""How a stored message begins. Any other text is told as it is."""


def fill(text: str, parameters: Mapping[str, Any]) -> str:
    """Return a text with its parameters, numbers as the active language writes them.

    Placeholders are those of `%`: `%(name)s`, `%(count)d`, `%(score).2f`, `%(limit)g`, and `%%`.
    With `%(name)s`, the thousands of a number are grouped; ids take `%(name)d`, which does not.
    """

    def value(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        given, form = parameters[match[1]], match[2]
        if form == "s":
            is_number = isinstance(given, int | float)
            return number_format(given, force_grouping=True) if is_number else str(given)
        filled = f"%{form}" % given
        return number_told(filled) if form[-1] in "fg" else filled

    return _PLACE.sub(value, text)


def number_told(written: str) -> str:
    """Return a number, as Python writes it, with the decimal sign of the language, and a minus."""
    told = written.replace(".", get_format("DECIMAL_SEPARATOR"))
    return f"\N{MINUS SIGN}{told[1:]}" if told.startswith("-") else told


class Message(TextPromise):
    """A text with parameters; `str` tells it in the active language.

    The text is a literal, so that it is found for translation (tools/translations.py).
    Parameters are texts, numbers or other messages. Anything else becomes its text at once.
    """

    text: str
    parameters: dict[str, Any]

    def __init__(self, text: str, /, **parameters: Any) -> None:
        self.text = text
        self.parameters = {
            name: value if isinstance(value, int | float | Message) else str(value)
            for name, value in parameters.items()
        }

    def __str__(self) -> str:
        return fill(self._translated(), self.parameters)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, str | Promise) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))

    def __contains__(self, part: str) -> bool:
        return part in str(self)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the text: its methods `startswith`, `capitalize` and so on."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(str(self), name)

    def _translated(self) -> str:
        return gettext(self.text)

    def parts(self) -> dict[str, Any]:
        """Return what is stored."""
        return {"text": self.text, "parameters": self.parameters}


class CountedMessage(Message):
    """A message whose form depends on a number, which is its parameter `count`."""

    plural: str

    def __init__(self, text: str, plural: str, count: int, /, **parameters: Any) -> None:
        super().__init__(text, **parameters, count=count)
        self.plural = plural

    def _translated(self) -> str:
        return ngettext(self.text, self.plural, self.parameters["count"])

    def parts(self) -> dict[str, Any]:
        return {"text": self.text, "plural": self.plural, "parameters": self.parameters}


def joined(sentences: Sequence[Text]) -> Text:
    """Return sentences, at least one, as one text, each in the reader's language."""
    said = sentences[0]
    for sentence in sentences[1:]:
        said = Message("%(before)s %(after)s", before=said, after=sentence)
    return said


def message_of(error: Exception) -> Text:
    """Return the message that an error was raised with; its text if it is none."""
    return error.args[0] if error.args and isinstance(error.args[0], Message) else str(error)


def message_dump(message: Message) -> str:
    """Return a message as it is stored."""
    return json.dumps(message.parts(), ensure_ascii=False, default=lambda nested: nested.parts())


def text_dump(text: Text) -> str:
    """Return a message, or a plain text, as it is stored where there is no `MessageField`."""
    return message_dump(text) if isinstance(text, Message) else str(text)


def message_load(stored: str) -> Text:
    """Return a stored message, or the text itself: older rows hold texts in English."""
    if not stored.startswith(_BEGINNING):
        return stored
    try:
        return _from_parts(json.loads(stored))
    except (AttributeError, KeyError, TypeError, ValueError):  # it only looks like one
        return stored


def _from_parts(parts: dict[str, Any]) -> Message:
    parameters: dict[str, Any] = {
        name: _from_parts(value) if isinstance(value, dict) else value
        for name, value in parts["parameters"].items()
    }
    if "plural" in parts:
        count = parameters.pop("count")
        return CountedMessage(parts["text"], parts["plural"], count, **parameters)
    return Message(parts["text"], **parameters)


class MessageField(TextColumn):
    """A column for a `Message` or a plain text. What is read from it is told by `str`."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Text | None:
        return None if value is None else message_load(value)

    def get_prep_value(self, value: Any) -> Any:
        return message_dump(value) if isinstance(value, Message) else super().get_prep_value(value)

    def to_python(self, value: Any) -> Any:
        return message_load(value) if isinstance(value, str) else value

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.get_prep_value(self.value_from_object(obj)))
