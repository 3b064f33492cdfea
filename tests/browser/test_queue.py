"""Tests the queue's page in Chromium: keys, photos, what is loaded ahead, touch, no script."""

import re

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.support.accessibility import accessibility_violations, sideways_overflow
from tests.support.browser import DARK, FRENCH, NO_SCRIPT, PHONE, NewPage, wait_for
from tests.support.filled_queue import FINDS, start_again
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FIND = ".find:not([hidden])"
AHEAD = ".find[hidden]"
DECIDED = """Number(document.querySelector("#queue-progress p").textContent.trim().split(" ")[0])"""
AHEAD_IS_LOADED = """[...document.querySelectorAll(".find[hidden] img")].every(
    (each) => each.complete && each.naturalWidth > 0)"""


@pytest.fixture(scope="module")
def stack(filled_queue: Stack) -> Stack:
    """Return a stack whose queue an administrator has switched on, and that has filled."""
    start_again(filled_queue)
    return filled_queue


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """Return alice's page of the queue, with the next three finds loaded ahead."""
    page = new_page("alice")
    page.goto("/queue")
    wait_for_ahead(page)
    return page


def wait_for_ahead(page: Page) -> None:
    """Wait until three finds are loaded ahead; after an undo there may be more."""
    expect(page.locator(AHEAD).nth(2)).to_be_attached()


def is_decision(request: Request) -> bool:
    return re.search(r"/queue/\d+$", request.url) is not None


def title(page: Page) -> str:
    return page.locator(f"{FIND} h2").inner_text()


def titles_ahead(page: Page) -> list[str]:
    return page.locator(f"{AHEAD} h2").all_text_contents()


def test_a_decision_shows_the_next_find_at_once_and_it_is_there_with_its_photos(
    page: Page, take_screenshot
) -> None:
    wait_for(page, AHEAD_IS_LOADED)
    take_screenshot(page, "queue", 1000)
    before, ahead = page.evaluate(DECIDED), titles_ahead(page)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/queue/*", hold)
    page.keyboard.press("u")
    assert title(page) == ahead[0], "before the server has answered"
    expect(page.locator(f"{FIND} h2")).to_be_focused()
    wait_for_route(page, held)
    held[0].continue_()
    page.unroute("**/queue/*")
    wait_for(page, f"{DECIDED} === {before + 1}")
    wait_for_ahead(page)
    assert title(page) == ahead[0]
    page.reload()
    assert title(page) == ahead[0]


def wait_for_route(page: Page, held: list[Route]) -> None:
    for _ in range(100):
        if held:
            return
        page.wait_for_timeout(50)
    raise AssertionError("nothing was sent")


def test_what_could_not_be_sent_comes_back(page: Page, new_page: NewPage) -> None:
    first, before = title(page), page.evaluate(DECIDED)
    page.route("**/queue/*", lambda route: route.abort("aborted"))
    page.keyboard.press("a")
    expect(page.locator("#queue-told")).to_contain_text("Not stored")
    assert title(page) == first
    page.unroute("**/queue/*")
    page.reload()
    assert (title(page), page.evaluate(DECIDED)) == (first, before)


def test_undo_works_by_key_and_after_a_reload(page: Page) -> None:
    first = title(page)
    before = page.evaluate(DECIDED)
    page.keyboard.press("d")
    wait_for(page, f"{DECIDED} === {before + 1}")
    page.reload()
    assert title(page) != first
    wait_for_ahead(page)
    page.keyboard.press("z")
    expect(page.locator(f"{FIND} h2")).to_have_text(first)
    expect(page.locator("#queue-told")).to_contain_text("Undone")
    assert page.evaluate(DECIDED) == before


def test_letters_of_a_note_are_no_keys(page: Page) -> None:
    before = page.evaluate(DECIDED)
    page.keyboard.type("nadusz?")
    expect(page.locator(f"{FIND} textarea[name=note]")).to_have_value("adusz?")
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    wait_for(page, f"{DECIDED} === {before + 1}")
    page.keyboard.press("z")
    expect(page.locator("#queue-told")).to_contain_text("Undone")
    expect(page.locator(f"{FIND} textarea[name=note]")).to_have_value("adusz?")
    page.locator(f"{FIND} textarea[name=note]").fill("")


def test_enter_in_a_field_decides_nothing(page: Page) -> None:
    first, before = title(page), page.evaluate(DECIDED)
    decisions: list[str] = []
    page.on("request", lambda each: decisions.append(each.url) if is_decision(each) else None)
    page.keyboard.press("n")
    note = page.locator(f"{FIND} textarea[name=note]")
    note.fill("")  # of what an earlier test has left
    page.keyboard.type("stem")
    page.keyboard.press("Enter")
    page.keyboard.type("base")
    expect(note).to_have_value("stem\nbase")
    page.keyboard.press("Escape")
    names = page.locator(f"{FIND} [name=decision_name]")
    if names.count():
        names.first.press("Enter")
    assert (title(page), page.evaluate(DECIDED), decisions) == (first, before, [])
    page.keyboard.press("u")
    wait_for(page, f"{DECIDED} === {before + 1}")
    page.keyboard.press("z")
    expect(page.locator(f"{FIND} h2")).to_have_text(first)
    expect(note).to_have_value("stem\nbase")
    note.fill("")


def test_photos_by_keys_and_by_mouse(page: Page) -> None:
    several = f"{FIND} [data-photo='1']"
    for _ in range(FINDS):  # until one has several photos
        if page.locator(several).count():
            break
        page.keyboard.press("s")
        page.wait_for_timeout(500)
    current = page.locator(f"{FIND} [data-photo][aria-current]")
    expect(current).to_have_text("1")
    page.keyboard.press("ArrowRight")
    expect(current).to_have_text("2")
    page.keyboard.press("ArrowLeft")
    expect(current).to_have_text("1")
    page.keyboard.press("ArrowLeft")
    count = page.locator(f"{FIND} [data-photo]").count()
    expect(current).to_have_text(str(count))
    page.locator(several).click()
    expect(current).to_have_text("2")
    width = "document.querySelector('.find:not([hidden]) .strip img').getBoundingClientRect().width"
    normal = page.evaluate(width)
    page.keyboard.press("l")
    assert page.evaluate(width) == pytest.approx(3 * normal, rel=0.05)
    expect(page.locator(f"{FIND} [data-zoom]")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("l")
    assert page.evaluate(width) == pytest.approx(normal, rel=0.05)
    image = page.locator(f"{FIND} .strip img").first
    page.keyboard.press("b")
    expect(image).to_have_css("filter", "brightness(1.75)")
    page.locator(f"{FIND} [data-brightness]").fill("50")
    expect(image).to_have_css("filter", "brightness(0.5)")


def test_digits_choose_a_name_wherever_the_keyboard_has_them(page: Page) -> None:
    first = page.locator(f"{FIND} [name=decision_name]").first
    first.evaluate("each => { each.checked = false; }")
    french = {"key": "&", "code": "Digit1", "bubbles": True}  # without shift
    page.evaluate(
        "event => document.body.dispatchEvent(new KeyboardEvent('keydown', event))", french
    )
    expect(first).to_be_checked()


def test_keys_are_shown_and_can_be_switched_off(page: Page) -> None:
    first = title(page)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    page.keyboard.press("a")
    dialog.get_by_label("Use these keys in this browser").uncheck()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    for key in "adusz":
        page.keyboard.press(key)
    page.reload()
    wait_for_ahead(page)
    page.keyboard.press("u")
    assert title(page) == first
    page.get_by_role("button", name="Keys").click()
    dialog.get_by_label("Use these keys in this browser").check()
    dialog.get_by_role("button", name="Close").click()
    page.keyboard.press("s")
    assert title(page) != first


def test_on_a_phone_the_buttons_have_room_in_french(new_page: NewPage) -> None:
    page = new_page("clementine", **PHONE, **FRENCH)
    page.goto("/queue")
    wait_for_ahead(page)
    for button in page.locator(f"{FIND} .decision-bar button").all():
        box = button.bounding_box()
        assert box is not None
        assert 0 <= box["x"] < box["x"] + box["width"] <= 360
        assert button.evaluate("each => each.scrollWidth <= each.clientWidth")


def test_on_a_phone_the_buttons_are_at_the_thumb(new_page: NewPage) -> None:
    page = new_page("alice", **PHONE)
    page.goto("/queue")
    wait_for_ahead(page)
    first = title(page)
    for name in ("Agree", "Disagree", "Unsure", "Skip"):
        box = page.locator(FIND).get_by_role("button", name=name, exact=True).bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["y"] > 740 * 0.8, "in the last fifth of the screen"
    page.locator(FIND).get_by_role("button", name="Unsure").tap()
    expect(page.locator(f"{FIND} h2")).not_to_have_text(first)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_without_script_forms_and_links_do_it(new_page: NewPage) -> None:
    page = new_page("clementine", **NO_SCRIPT)
    page.goto("/queue")
    first = title(page)
    expect(page.locator(".find")).to_have_count(1)
    expect(page.get_by_role("button", name="Larger")).to_be_hidden()
    page.get_by_role("button", name="Unsure").click()
    assert title(page) != first
    page.get_by_role("button", name="Undo").click()
    assert title(page) == first
    page.get_by_role("button", name="Skip").click()
    assert title(page) != first


@pytest.mark.parametrize("theme", [{}, DARK], ids=["light", "dark"])
def test_a_find_is_accessible_with_all_that_can_be_opened(new_page: NewPage, theme: dict) -> None:
    page = new_page("alice", **theme)
    page.goto("/queue")
    wait_for_ahead(page)
    page.locator(f"{FIND} .site summary").click()
    page.keyboard.press("n")
    assert accessibility_violations(page) == []
    for width in (360, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert sideways_overflow(page) == 0
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert accessibility_violations(page) == []
