"""Tests the first page in Chromium: photos are dropped, grouped, named, asked; also without script.

The stack asks a replica of Mushroom Observer.
"""

import io
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.support.browser import NO_SCRIPT, PHONE, NewPage, wait_for
from tests.support.drawings import mushroom
from tests.support.mushroom_observer import MushroomObserver
from tests.support.stack import Stack, stack_asking

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COPY = """async bytes => {
  const image = new Blob([new Uint8Array(bytes)], {type: "image/png"});
  await navigator.clipboard.write([new ClipboardItem({"image/png": image})]);
}"""
"""Copies a PNG as a screenshot is copied: into the clipboard."""
PENDING = "#cards .waiting, #cards [data-status=pending]"
NUMBER, IMAGE = 500_000, 1_400_021
"""An observation of the replica with one photo, and that photo."""
DROPPED = """bytes => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "dropped.jpg", {type: "image/jpeg"}));
  return data;
}"""


@pytest.fixture(scope="module")
def site() -> Iterator[MushroomObserver]:
    with MushroomObserver(observations=20) as site:
        yield site


@pytest.fixture(scope="module")
def stack(browser: Browser, site: MushroomObserver) -> Iterator[Stack]:
    with stack_asking(site) as stack:
        yield stack


def files(*seeds: int) -> list[FilePayload]:
    return [
        {"name": f"{seed}.jpg", "mimeType": "image/jpeg", "buffer": mushroom(seed)}
        for seed in seeds
    ]


def card_with(page: Page, text: str):
    return page.locator("#cards .find-card", has_text=text).first


def test_photos_addresses_and_observations_are_asked_at_once(
    new_page: NewPage, site: MushroomObserver, take_screenshot
) -> None:
    page = new_page("alice")
    page.set_input_files("#photos", files(701, 702))
    dropped = page.evaluate_handle(DROPPED, list(mushroom(703)))
    page.dispatch_event("#ask", "drop", {"dataTransfer": dropped})
    expect(page.locator(".draft")).to_have_count(3)
    for number in (0, 1):
        page.locator(".draft input").nth(number).check()
    page.get_by_role("button", name="The selected photos show one find").press("Enter")
    expect(page.locator(".draft")).to_have_count(2)
    page.fill("#lines", f"{NUMBER}\n{site.url}/images/320/{IMAGE}.jpg")
    page.get_by_label("First name").fill("Coprinus comatus")
    assert page.locator("#known-names option[value='Coprinus comatus']").count() == 1
    page.get_by_role("button", name="Ask", exact=True).press("Enter")
    expect(page.locator(".draft")).to_have_count(0)
    expect(page.locator("#cards .find-card")).to_have_count(4)
    expect(page.locator(PENDING)).to_have_count(0, timeout=120_000)
    expect(page.get_by_role("status")).to_have_text("4 of 4 answered")
    expect(page.locator("#cards [data-status=done]")).to_have_count(4)
    expect(page.locator("#cards .photo img")).to_have_count(5)
    expect(card_with(page, f"observation {NUMBER}")).to_contain_text("© 2026 Mossy Beginner")
    expect(page.locator("#cards .verdict", has_text="Coprinus comatus")).to_have_count(3)
    wait_for(page, "[...document.images].every(each => each.complete && each.naturalWidth)", 60)
    take_screenshot(page, "first-page", 1300)


def test_a_photo_and_an_address_are_pasted_from_the_clipboard(new_page: NewPage) -> None:
    page = new_page("alice", permissions=["clipboard-read", "clipboard-write"])
    photo = io.BytesIO()
    Image.open(io.BytesIO(mushroom(721))).save(photo, "PNG")
    page.evaluate(COPY, list(photo.getvalue()))
    page.locator("h1").click()  # no field has the focus
    page.keyboard.press("Control+V")
    expect(page.locator(".draft img")).to_have_count(1)
    page.get_by_label("Addresses of photos").focus()
    page.keyboard.press("Control+V")
    expect(page.locator(".draft img")).to_have_count(2)
    page.evaluate("navigator.clipboard.writeText('123456')")
    page.locator("h1").click()
    page.keyboard.press("Control+V")
    lines = page.get_by_label("Addresses of photos")
    expect(lines).to_have_value("123456")
    lines.fill("")
    page.get_by_role("button", name="Remove").last.click()
    page.get_by_label("First name").fill("Amanita muscaria")
    page.get_by_label("First name").press("Enter")  # asks
    expect(page.locator(".draft")).to_have_count(0)
    card = page.locator("#cards .find-card").first
    expect(card.locator(".verdict")).to_contain_text("Amanita muscaria", timeout=120_000)
    expect(card).to_have_attribute("data-status", "done")


def test_an_answer_is_explained_and_another_name_judged(new_page: NewPage) -> None:
    page = new_page("alice")
    card = card_with(page, f"observation {NUMBER}")
    card.get_by_role("link", name="Why?").click()
    shown = "document.querySelector('.evidence')?.naturalWidth"
    wait_for(page, shown, 60)
    evidence = card.locator(".evidence")
    card.get_by_label("Strength").fill("40")
    expect(evidence).to_have_css("opacity", "0.4")
    card.get_by_label("Show the evidence").uncheck()
    expect(evidence).to_have_css("visibility", "hidden")
    card.get_by_label("rather than for").select_option("Amanita muscaria")
    expect(card.locator(".reasons")).to_contain_text("blue for Amanita muscaria")
    wait_for(page, f"{shown} && document.querySelector('.evidence').src.includes('against')", 60)
    card.get_by_text("Propose a name").click()
    card.get_by_label("Name", exact=True).fill("Boletus edulis")
    card.get_by_label("Name", exact=True).press("Enter")
    expect(card.locator(".verdict.not_covered")).to_contain_text("Boletus edulis")


def test_a_phone_without_scripts_asks_decides_and_deletes(new_page: NewPage) -> None:
    page = new_page("clementine", **PHONE, **NO_SCRIPT)
    page.set_input_files("#photos", files(711, 712))
    page.get_by_label("All these photos show one find").check()
    page.get_by_label("First name").fill("Amanita muscaria")
    page.get_by_role("button", name="Ask", exact=True).click()
    card = page.locator("#cards .find-card")
    for _ in range(60):
        if card.get_attribute("data-status") == "done":
            break
        page.wait_for_timeout(1000)
        page.reload()
    expect(card.locator(".photo img")).to_have_count(2)
    card.get_by_role("link", name="Why?").click()
    expect(page.get_by_role("heading", name="Why?")).to_be_visible()
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".evidence")).to_be_visible()
    page.get_by_role("link", name="Back to the find").click()
    page.get_by_role("button", name="Disagree").click()
    expect(page.locator(".messages")).to_contain_text("Your decision is stored.")
    page.get_by_label("Note").fill("No ring.")
    page.get_by_role("button", name="Store the note").click()
    expect(page.get_by_label("Note")).to_have_value("No ring.")
    page.get_by_text("Delete this find").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.locator("#cards .find-card")).to_have_count(0)


@pytest.mark.parametrize("options", [PHONE, {}], ids=["phone", "window"])
def test_nothing_is_wider_than_the_screen(new_page: NewPage, options: dict) -> None:
    page = new_page("alice", **options)
    find = page.locator("#cards h3 a").first.get_attribute("href")
    for path in ("/", f"{find}", f"{find}/why"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
