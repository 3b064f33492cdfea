"""Tests a verifier's evening: forty finds in the queue's page, worked through in several ways.

Each test prints how long a find took; nothing depends on that.
"""

import ast
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from playwright.sync_api import Locator, Page, expect

from accounts.services import PUBLISHED_PASSWORDS
from tests.support.accessibility import assert_accessible
from tests.support.browser import DARK, FRENCH, NO_SCRIPT, PAGE_WEIGHT, PHONE, NewPage
from tests.support.filled_queue import FINDS, start_again
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

FIND = ".find:not([hidden])"
TITLE = f"{FIND} h2"
NOTED = 7
"""The find of an evening, counted from 0, on which a note is written."""
UNDONE = 11
"""The find whose decision is first a wrong one, and taken back."""
DECISIONS = ("agree", "disagree", "unsure")
DECIDED = """
from observations.models import Observation
decided = Observation.objects.filter(source="queue").exclude(decision="")
print(list(decided.values_list(
    "mushroom_observer_id", "decision", "decision_name", "note", "user__username")))
"""


@pytest.fixture
def stack(filled_queue: Stack) -> Stack:
    """Return the stack of which nobody has decided, skipped or held any find."""
    start_again(filled_queue)
    return filled_queue


Decided = tuple[int, str, str, str, str]
"""A find's number there, the decision, the name that it is about, the note, and who decided."""


def decided(stack: Stack) -> list[Decided]:
    """Return what is stored of all decisions."""
    done = stack("shell", "--verbosity", "0", "-c", DECIDED)
    assert done.returncode == 0, done.stderr
    return sorted(ast.literal_eval(done.stdout.strip().splitlines()[-1]))


class Hands(Protocol):
    """How a verifier does things in the page of the queue."""

    def look_at_all_photos(self) -> None: ...
    def choose_name(self, number: int) -> None: ...
    def write_note(self, text: str) -> None: ...
    def decide(self, decision: str) -> None: ...
    def undo(self) -> None: ...


@dataclass
class Keyboard:
    """Uses nothing but keys."""

    page: Page

    def look_at_all_photos(self) -> None:
        for _ in range(photo_count(self.page) - 1):
            self.page.keyboard.press("ArrowRight")

    def choose_name(self, number: int) -> None:
        self.page.keyboard.press(str(number + 1))

    def write_note(self, text: str) -> None:
        self.page.keyboard.press("n")
        expect(self.page.locator(f"{FIND} textarea[name=note]")).to_be_focused()
        self.page.keyboard.type(text)
        self.page.keyboard.press("Escape")

    def decide(self, decision: str) -> None:
        self.page.keyboard.press(decision[0])

    def undo(self) -> None:
        self.page.keyboard.press("z")


@dataclass
class Pointer:
    """Presses what is visible: `press` taps or clicks an element."""

    page: Page
    press: Callable[[Locator], None]
    names: dict[str, str]
    """The texts of the buttons, by decision; "undo" and "note" besides."""

    def look_at_all_photos(self) -> None:
        for number in range(1, photo_count(self.page)):
            self.press(self.page.locator(f"{FIND} [data-photo='{number}']"))

    def choose_name(self, number: int) -> None:
        self.press(self.page.locator(f"{FIND} label:has([name=decision_name])").nth(number))

    def write_note(self, text: str) -> None:
        self.press(self.page.locator(f"{FIND} summary", has_text=self.names["note"]))
        self.press(self.page.locator(f"{FIND} textarea[name=note]"))
        self.page.keyboard.type(text)

    def decide(self, decision: str) -> None:
        button = self.page.locator(FIND).get_by_role(
            "button", name=self.names[decision], exact=True
        )
        self.press(button)

    def undo(self) -> None:
        self.press(self.page.get_by_role("button", name=self.names["undo"], exact=True))


ENGLISH_NAMES = {
    "agree": "Agree",
    "disagree": "Disagree",
    "unsure": "Unsure",
    "undo": "Undo",
    "note": "Note",
}
FRENCH_NAMES = {
    "agree": "D'accord",
    "disagree": "Pas d'accord",
    "unsure": "Incertain",
    "undo": "Annuler",
    "note": "Note",
}


def click(locator: Locator) -> None:
    locator.click()


def tap(locator: Locator) -> None:
    locator.tap()


def photo_count(page: Page) -> int:
    return page.locator(f"{FIND} [data-photo]").count()


def number_shown(page: Page) -> int:
    """Return the number at Mushroom Observer of the find in view."""
    return int("".join(filter(str.isdigit, page.locator(TITLE).inner_text())))


def work(page: Page, hands: Hands, user: str, turns: range) -> tuple[list[Decided], list[float]]:
    """Decide about one find for each turn; return what was decided, and the seconds that each took.

    The verifier looks at all photos, chooses each of the proposed names in turn, and decides.
    """
    decisions: list[Decided] = []
    seconds: list[float] = []
    for turn in turns:
        began = time.monotonic()
        before = page.locator(TITLE).inner_text()
        number = number_shown(page)
        hands.look_at_all_photos()
        names = page.locator(f"{FIND} [name=decision_name]")
        chosen = turn % names.count()
        if names.count() > 1:
            hands.choose_name(chosen)
        expect(names.nth(chosen)).to_be_checked()
        name = names.nth(chosen).get_attribute("value")
        decision, note = DECISIONS[turn % 3], ""
        if turn == NOTED:
            note = "Spores? Ask again."
            hands.write_note(note)
        if turn == UNDONE:
            hands.decide(DECISIONS[(turn + 1) % 3])
            expect(page.locator(TITLE)).not_to_have_text(before)
            hands.undo()
            expect(page.locator(TITLE)).to_have_text(before)
            if names.count() > 1:
                hands.choose_name(chosen)
        hands.decide(decision)
        expect(page.locator(TITLE)).not_to_have_text(before)
        decisions.append((number, decision, name, note, user))
        seconds.append(time.monotonic() - began)
    return decisions, seconds


def is_stored(page: Page, count: int) -> None:
    """Wait until the page says, first thing, how many are decided."""
    expect(page.locator("#queue-progress p")).to_have_text(re.compile(rf"^\s*{count} \w"))


def tell(capsys: pytest.CaptureFixture, way: str, seconds: list[float]) -> None:
    with capsys.disabled():
        print(
            f"\n{len(seconds)} finds {way}: {sum(seconds):.1f} s,"
            f" median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s"
        )


def press_until_focused(page: Page, href: str) -> None:
    """Press Tab until a link with this address has the focus."""
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('href')") == href:
            return
    raise AssertionError(f"Tab does not come to {href}")


def open_queue_by_keyboard(page: Page) -> None:
    page.goto("/")
    page.keyboard.type("alice")
    page.keyboard.press("Tab")
    page.keyboard.type(PUBLISHED_PASSWORDS["alice"])
    page.keyboard.press("Enter")
    page.wait_for_url("/")
    press_until_focused(page, "/queue")
    page.keyboard.press("Enter")
    expect(page.locator(FIND)).to_be_visible()


def test_by_keyboard_alone_and_after_a_break_on_another_machine(
    new_page: NewPage, stack: Stack, capsys: pytest.CaptureFixture
) -> None:
    page = new_page()
    open_queue_by_keyboard(page)
    first, seconds = work(page, Keyboard(page), "alice", range(FINDS // 2))
    is_stored(page, FINDS // 2)
    shown = number_shown(page)
    other = new_page(**DARK)
    open_queue_by_keyboard(other)
    assert number_shown(other) == shown
    assert_accessible(other)
    then, more = work(other, Keyboard(other), "alice", range(FINDS // 2, FINDS))
    is_stored(other, FINDS)
    assert decided(stack) == sorted(first + then)
    other.goto("/")  # which shows the last finds
    assert other.locator(".find-card").count() > 1
    assert 0 < other.evaluate(PAGE_WEIGHT)["decoded"] < 150_000
    tell(capsys, "by keyboard", seconds + more)


def test_by_touch_on_a_phone(
    new_page: NewPage, stack: Stack, capsys: pytest.CaptureFixture
) -> None:
    page = new_page("alice", **PHONE)
    page.get_by_role("link", name="Queue").tap()
    expect(page.locator(FIND)).to_be_visible()
    assert_accessible(page)
    done, seconds = work(page, Pointer(page, tap, ENGLISH_NAMES), "alice", range(FINDS))
    is_stored(page, FINDS)
    assert decided(stack) == sorted(done)
    tell(capsys, "by touch", seconds)


def test_in_french(new_page: NewPage, stack: Stack, capsys: pytest.CaptureFixture) -> None:
    page = new_page("alice", **FRENCH)
    page.get_by_role("link", name="File d'attente").click()
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    done, seconds = work(page, Pointer(page, click, FRENCH_NAMES), "alice", range(FINDS))
    is_stored(page, FINDS)
    assert decided(stack) == sorted(done)
    tell(capsys, "in French, by mouse", seconds)


def test_without_scripts(new_page: NewPage, stack: Stack, capsys: pytest.CaptureFixture) -> None:
    page = new_page("alice", **NO_SCRIPT)
    page.get_by_role("link", name="Queue").click()
    done, seconds = work(page, Pointer(page, click, ENGLISH_NAMES), "alice", range(FINDS))
    is_stored(page, FINDS)
    assert decided(stack) == sorted(done)
    tell(capsys, "without scripts", seconds)


def test_two_verifiers_at_one_queue_never_see_the_same_find(
    new_page: NewPage, stack: Stack, capsys: pytest.CaptureFixture
) -> None:
    pages: dict[str, Any] = {name: new_page(name) for name in ("alice", "clementine")}
    for page in pages.values():
        page.goto("/queue")
    done: list[Decided] = []
    seconds: list[float] = []
    for turn in range(FINDS // 2):
        shown = {number_shown(page) for page in pages.values()}
        assert len(shown) == 2
        for name, page in pages.items():
            decisions, took = work(page, Keyboard(page), name, range(turn, turn + 1))
            done += decisions
            seconds += took
    for page in pages.values():
        is_stored(page, FINDS // 2)
    assert len({number for number, *_ in done}) == FINDS
    assert decided(stack) == sorted(done)
    tell(capsys, "by two verifiers", seconds)
