"""The French catalogue is complete, and templates have no text that is not marked."""

import ast
import gettext
import io
import re
from html.parser import HTMLParser

import pytest
from babel.messages.checkers import checkers
from django.template.base import Lexer, TokenType

from tools.translations import (
    CATALOGUE,
    KEYWORDS,
    PROJECT,
    catalogue_read,
    compiled,
    is_translated,
    marked_texts,
    sources,
)

UPDATE = "Run `.venv/bin/python -m tools.translations`, and translate what it lists."
PLACEHOLDER = re.compile(r"%\(\w+\)[+.\d]*[a-z]|%%")
SAME = re.compile(
    r"https?://\S*|colM|ChampiPy|Mushroom Observer|PostgreSQL|SHA-256|JSON|CSV|PNG|URL|API"
)
"""What is the same in all languages, and a class of Django's admin."""


def keys(catalogue) -> set:
    return {(message.context, message.id) for message in catalogue if message.id}


def test_the_catalogue_has_the_marked_texts_and_no_others() -> None:
    marked, stored = keys(marked_texts(sources())), keys(catalogue_read())
    assert marked - stored == set(), UPDATE
    assert stored - marked == set(), UPDATE
    assert len(stored) > 300


def test_every_text_is_translated_and_no_translation_is_a_guess() -> None:
    catalogue = catalogue_read()
    assert [message.id for message in catalogue if not is_translated(message)] == [], UPDATE
    assert [message.id for message in catalogue if message.id and message.fuzzy] == []
    assert not catalogue.obsolete


def test_translations_have_the_placeholders_of_their_texts() -> None:
    catalogue, faults = catalogue_read(), []
    for message in catalogue:
        if not message.id:
            continue
        texts = message.id if isinstance(message.id, tuple) else (message.id,)
        if "%(" in texts[0]:  # "95 % interval" has none
            for check in checkers:
                check(catalogue, message)
        wanted = {part for text in texts for part in PLACEHOLDER.findall(text)} - {"%%"}
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        # Of two forms, the singular need not tell the number.
        found = set(PLACEHOLDER.findall(strings[-1])) - {"%%"}
        if found != wanted or not set(PLACEHOLDER.findall(strings[0])) - {"%%"} <= wanted:
            faults.append((message.id, message.string))
    assert faults == []


def test_french_has_two_forms_and_nought_is_singular() -> None:
    catalogue = catalogue_read()
    assert (catalogue.num_plurals, catalogue.plural_expr) == (2, "(n > 1)")
    counted = [message for message in catalogue if isinstance(message.id, tuple)]
    assert counted
    assert {len(message.string) for message in counted} == {2}


def test_french_punctuation_has_its_no_break_spaces() -> None:
    faults = [
        string
        for message in catalogue_read()
        if message.id
        for string in (message.string if isinstance(message.string, tuple) else (message.string,))
        if re.search(r" [:;?!»]|« |[A-Za-zé][?!;»](?!\w)| %%", string)
    ]
    assert faults == []


def test_the_compiled_catalogue_is_that_of_the_texts() -> None:
    stored = CATALOGUE.with_suffix(".mo").read_bytes()
    of_file = gettext.GNUTranslations(io.BytesIO(stored))
    of_texts = gettext.GNUTranslations(io.BytesIO(compiled(catalogue_read())))
    assert vars(of_file)["_catalog"] == vars(of_texts)["_catalog"], UPDATE


# --- templates -----------------------------------------------------------------------------------
class Texts(HTMLParser):
    """Collects the texts of a page that people see or hear."""

    ATTRIBUTES = {"alt", "title", "placeholder", "aria-label", "aria-description", "content"}
    UNSEEN = {"script", "style", "code", "kbd"}

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.around: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "meta":
            return
        self.texts += [value for name, value in given.items() if value and self._is_told(name)]
        if tag == "input" and given.get("type") in ("submit", "button"):
            self.texts.append(given.get("value") or "")
        if tag in self.UNSEEN:
            self.around.append(tag)

    def _is_told(self, name: str) -> bool:
        return name in self.ATTRIBUTES

    def handle_endtag(self, tag: str) -> None:
        if self.around and self.around[-1] == tag:
            self.around.pop()

    def handle_data(self, data: str) -> None:
        if not self.around:
            self.texts.append(data)


def unmarked(template: str) -> list[str]:
    """Return the texts with words in a template that are in no translate or blocktranslate."""
    parts, is_inside = [], ""
    for token in Lexer(template).tokenize():
        name = token.contents.split(None, 1)[0] if token.contents.strip() else ""
        if token.token_type == TokenType.BLOCK and name in ("blocktranslate", "comment"):
            is_inside = f"end{name}"
        elif token.token_type == TokenType.BLOCK and name == is_inside:
            is_inside = ""
        elif token.token_type == TokenType.TEXT and not is_inside:
            parts.append(token.contents)
    page = Texts()
    page.feed("".join(parts))
    found = (SAME.sub("", text).strip() for text in page.texts)
    return [text for text in found if re.search(r"[^\W\d_]{2}", text)]


def templates() -> list[str]:
    return [path.relative_to(PROJECT).as_posix() for path in sources() if path.suffix == ".html"]


@pytest.mark.parametrize("path", templates())
def test_a_template_has_no_text_outside_the_tags_for_translation(path: str) -> None:
    assert unmarked((PROJECT / path).read_text()) == []


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("<p>Look at this</p>", ["Look at this"]),
        ('<p>{% translate "Look" %} here: {{ name }}</p>', ["here:"]),
        ('<img alt="A photo" src="x.jpg">', ["A photo"]),
        ('<input type="submit" value="Send">', ["Send"]),
        ('<button aria-label="{% translate "Send" %}">✓ {{ n }} %</button>', []),
        ("{% blocktranslate trimmed count n=n %}one{% plural %}many{% endblocktranslate %}", []),
        ('<a class="big" href="/x">{{ text }}</a><script>let x = "Hello you";</script>', []),
        ("{# Not told #}<!-- nor this --><code>./champipy status</code>", []),
    ],
)
def test_unmarked_texts_are_found(template: str, found: list[str]) -> None:
    assert unmarked(template) == found


# --- errors of the API, and messages of pages -----------------------------------------------------
MARKS = {name for name in KEYWORDS if name != "phrase"}
TOLD = {"default_detail", "default_error_messages"}


def unmarked_texts(module: str) -> list[str]:
    """Return the texts that a module raises, defaults to or shows as messages without a mark."""
    told: list[ast.AST] = []
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            told.append(node.exc)
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in TOLD:
            told.append(node.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("messages."):
            told += node.args[1:]
    return [
        ast.unparse(part)
        for each in told
        if not any(_name(node) in MARKS for node in ast.walk(each))
        for part in ast.walk(each)
        if isinstance(part, ast.Constant) and re.search(r"[a-z]{2} | [a-z]{2}", str(part.value))
    ]


def _name(node: ast.AST) -> str:
    return ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""


def marked_within(module: str) -> list[str]:
    """Return the texts that are marked within an f-string: there they are not collected."""
    return [
        ast.unparse(call)
        for string in ast.walk(ast.parse(module))
        if isinstance(string, ast.JoinedStr)
        for call in ast.walk(string)
        if _name(call) in MARKS
        and isinstance(call, ast.Call)
        and any(isinstance(given, ast.Constant) for given in call.args)
    ]


def test_no_text_is_marked_within_an_f_string() -> None:
    modules = [path for path in sources() if path.suffix == ".py"]
    found = {path: found for path in modules if (found := marked_within(path.read_text()))}
    assert found == {}
    assert marked_within("f\"{_('Look')} {x}\"; f'{_(x)}'; _('Look')") == ["_('Look')"]


def test_what_the_api_and_the_pages_tell_is_marked() -> None:
    modules = [path for path in sources() if path.suffix == ".py"]
    paths = [path for path in modules if {"api", "pages"} & set(path.parts)]
    assert len(paths) > 20
    assert {path: found for path in paths if (found := unmarked_texts(path.read_text()))} == {}


@pytest.mark.parametrize(
    ("module", "count"),
    [
        ('raise NotFound("There is none.")', 1),
        ('raise NotFound(f"There is no {x}.")', 1),
        ('raise NotFound(Message("There is no %(x)s.", x=x))', 0),
        ('class A(APIException):\n    default_detail = ("It is " "full.")', 1),
        ('class A(APIException):\n    default_detail = _("It is full.")', 0),
        ('messages.success(request, "It is done.")', 1),
        ('messages.success(request, gettext("It is done."))', 0),
        ('raise NotFound\nraise ValidationError({"a": error}, "invalid")', 0),
    ],
)
def test_unmarked_messages_are_found(module: str, count: int) -> None:
    assert len(unmarked_texts(module)) == count
