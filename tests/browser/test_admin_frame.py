"""Works what needs a browser in the frame of the admin: the menu, the filters, the counter."""

import re

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.support.browser import NewPage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PHOTOS = "/admin/predictions/photo/"
PHONE: ViewportSize = {"width": 360, "height": 740}


def count_left(page: Page) -> int:
    return int(page.locator("#review-left").inner_text().split()[0])


def test_a_card_that_was_decided_by_mouse_counts_down_and_the_next_has_the_focus(
    bobs_page: Page,
) -> None:
    page = bobs_page
    page.locator(".sections-bar").get_by_role("link", name="Review").click()
    expect(page).to_have_url(re.compile(r"\?review=waiting$"))
    before = count_left(page)
    cards = page.locator(".photo-card")
    assert before == cards.count() == 16
    expect(cards.first.locator(".who-says")).to_have_text("A model's guess")
    second = cards.nth(1).get_attribute("data-photo")
    cards.first.locator("button[value^=confirm]").click()
    expect(cards.first.locator(".who-says")).to_have_text("bob confirmed")
    expect(page.locator("#review-left")).to_have_text("15 photos are left here.")
    assert page.evaluate("document.activeElement.dataset.photo") == second
    page.keyboard.press("u")
    expect(page.locator("#review-left")).to_have_text("16 photos are left here.")
    expect(cards.first.locator(".who-says")).to_have_text("A model's guess")


def test_photos_are_reviewed_one_by_one_with_keys(bobs_page: Page) -> None:
    page = bobs_page
    page.goto(f"{PHOTOS}?review=waiting")
    first, second = (page.locator(".photo-card a.picture").nth(at) for at in (0, 1))
    following = second.get_attribute("href")
    first.click()
    expect(page.locator(".left")).to_contain_text("16 photos are left here.")
    expect(page.locator(".who-says-large")).to_contain_text("A model's guess")
    page.keyboard.press("x")
    expect(page).to_have_url(re.compile(re.escape(str(following))))
    expect(page.locator(".messagelist")).to_contain_text("1 photo excluded.")
    expect(page.locator(".left")).to_contain_text("15 photos are left here.")
    page.keyboard.press("u")
    expect(page.locator(".messagelist")).to_contain_text("1 photo as before.")
    expect(page.locator(".left")).to_contain_text("16 photos are left here.")


def test_on_a_phone_menu_and_filters_wait_behind_buttons(new_page: NewPage) -> None:
    page = new_page("bob", viewport=PHONE)
    page.goto(f"{PHOTOS}?review=waiting")
    filters, button = page.locator("#changelist-filter"), page.locator(".filters-button")
    expect(filters).to_be_hidden()
    expect(button).to_have_attribute("aria-expanded", "false")
    button.click()
    expect(filters).to_be_visible()
    expect(button).to_have_attribute("aria-expanded", "true")
    menu = page.locator(".sections-menu")
    expect(menu.get_by_role("link", name="Alerts")).to_be_hidden()
    menu.get_by_text("Menu").click()
    expect(menu.get_by_role("link", name="Periodic tasks")).to_be_hidden()
    menu.get_by_text("System").click()
    expect(menu.get_by_role("link", name="Periodic tasks")).to_be_visible()
    menu.get_by_role("link", name="Alerts").click()
    expect(page.locator("h1")).to_have_text("Alerts")


def test_without_scripts_filters_follow_the_list_and_buttons_work(new_page: NewPage) -> None:
    logged_in = new_page("bob")
    state = logged_in.context.storage_state()
    page = new_page(viewport=PHONE, java_script_enabled=False, storage_state=state)
    page.goto(f"{PHOTOS}?review=waiting")
    expect(page.locator("#changelist-filter")).to_be_visible()
    expect(page.locator(".filters-button")).to_be_hidden()
    page.locator(".photo-card button[value^=exclude]").first.click()
    expect(page.locator(".messagelist")).to_contain_text("1 photo excluded.")
    expect(page.locator("#review-left")).to_have_text("15 photos are left here.")
    page.locator("#undo").click()
    expect(page.locator("#review-left")).to_have_text("16 photos are left here.")
