"""Tests what a page says when htmx gets no answer: what happened, and what to do now."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import log_in
from tests.support.drawings import mushroom
from tests.support.stack import Stack, prepared_stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def stack(browser: Browser) -> Iterator[Stack]:
    with prepared_stack() as stack:
        assert stack.up().returncode == 0
        yield stack


@pytest.fixture
def context(browser: Browser, base_url: str) -> Iterator[BrowserContext]:
    """Yield a context whose faults are wanted: `new_page` would fail the test for them."""
    context = browser.new_context(base_url=base_url, locale="en-GB")
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """Return the first page with the card of a find that is answered."""
    page = context.new_page()
    log_in(page, "alice")
    if not page.locator(".find-card[data-status=done]").count():
        photo = {"name": "1.jpg", "mimeType": "image/jpeg", "buffer": mushroom(1)}
        page.set_input_files("#photos", photo)
        page.locator("#ask > button").click()
        expect(page.locator(".find-card[data-status=done]")).to_have_count(1, timeout=120_000)
    return page


def ask_why(page: Page) -> None:
    page.get_by_role("link", name="Why?", exact=True).first.click()


def test_without_a_server_the_page_says_so_until_there_is_one(
    page: Page, context: BrowserContext
) -> None:
    context.set_offline(True)
    ask_why(page)
    told = page.get_by_role("alert")
    expect(told).to_have_text(
        "The server could not be reached. See whether you are online, then try again."
    )
    ask_why(page)
    expect(told).to_have_count(1)
    context.set_offline(False)
    ask_why(page)
    expect(page.locator(".reasons")).to_be_visible()
    expect(told).to_have_count(0)


@pytest.mark.parametrize(
    ("status", "words"), [(500, "The server failed (status 500)."), (503, "too busy just now")]
)
def test_errors_of_the_server_are_told(page: Page, status: int, words: str) -> None:
    page.route("**/why", lambda route: route.fulfill(status=status, body="broken"))
    ask_why(page)
    expect(page.get_by_role("alert")).to_contain_text(words)
    expect(page.locator(".reasons")).to_have_count(0)


def test_a_find_that_the_server_could_not_take_says_so_and_is_sent_again(page: Page) -> None:
    page.route("**/ask", lambda route: route.fulfill(status=500, body="broken"))
    page.fill("#lines", "no number")
    page.get_by_role("button", name="Ask", exact=True).click()
    told = page.get_by_role("alert")
    expect(told).to_contain_text("The server failed (status 500).")
    expect(told).not_to_contain_text("reached")
    page.unroute("**/ask")
    page.get_by_role("button", name="Send again").click()
    expect(told).to_have_count(1)
    expect(told).to_contain_text("no number")


def test_who_is_logged_out_can_log_in_and_comes_back(page: Page, context: BrowserContext) -> None:
    context.clear_cookies(name="sessionid")
    ask_why(page)
    expect(page.get_by_role("alert")).to_contain_text("Nothing was done: you are logged out.")
    expect(page.locator("main [name=password]")).to_have_count(0)
    page.get_by_role("link", name="Log in again").click()
    page.fill("[name=username]", "alice")
    page.fill("[name=password]", "wonderland")
    page.keyboard.press("Enter")
    page.wait_for_url("/")
    ask_why(page)
    expect(page.locator(".reasons")).to_be_visible()


def test_a_form_of_an_old_login_is_refused_in_words(page: Page, context: BrowserContext) -> None:
    context.clear_cookies(name="csrftoken")
    page.get_by_text("Propose a name").first.click()
    name = page.locator(".find-card").get_by_label("Name", exact=True).first
    name.fill("Boletus edulis")
    name.press("Enter")
    told = page.get_by_role("alert")
    expect(told).to_contain_text("you have logged in or out since this page was loaded")
    told.get_by_role("link", name="Load it again").click()
    expect(page.locator(".find-card .verdict")).to_have_count(0)


def test_what_was_deleted_meanwhile_is_said_to_be_gone_in_french(
    page: Page, context: BrowserContext
) -> None:
    page.get_by_role("button", name="Français").click()
    token = page.locator("[name=csrfmiddlewaretoken]").first.get_attribute("value") or ""
    find = page.locator(".find-card h3 a").first.get_attribute("href") or ""
    deleted = context.request.post(
        f"{find}/delete", form={"csrfmiddlewaretoken": token}, headers={"Referer": page.url}
    )
    assert deleted.ok
    page.get_by_role("link", name="Pourquoi").first.click()
    expect(page.get_by_role("alert")).to_contain_text("c'est supprimé entre-temps")
