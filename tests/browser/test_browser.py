"""Tests the admin pages as Bob uses them, with a headless Chromium and a complete stack.

With CHAMPIPY_SCREENSHOTS=docs/screenshots, these tests also make the screenshots in docs/.
"""

import ast
import os
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import visible, wait_for
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VERSIONS = "/admin/mlmodels/modelversion/"
RUNS = "/admin/mlmodels/trainingrun/"
PHOTOS = "/admin/predictions/photo/"
ALERTS = "/admin/supervision/alert/"


def query(stack: Stack, expression: str) -> Any:
    """Return the value of a Python expression in which the stack's models can be used."""
    code = (
        "from mlmodels.models import *\nfrom predictions.models import *\n"
        f"print(repr({expression}))"
    )
    done = stack("shell", "--verbosity", "0", "-c", code)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout.strip())


def test_first_page_shows_the_service_in_both_themes(bobs_page: Page) -> None:
    expect(visible(bobs_page, "#dashboard .card", "In production")).to_contain_text("VGG16 1")
    expect(visible(bobs_page, "#dashboard .card", "Predictions a day")).to_contain_text(
        "16 answered and 0 failed"
    )
    colours = "(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))"
    light = bobs_page.evaluate(colours)
    bobs_page.emulate_media(color_scheme="dark")
    assert not set(bobs_page.evaluate(colours)) & set(light)


def test_pages_are_no_wider_than_a_phone(bobs_page: Page) -> None:
    bobs_page.set_viewport_size({"width": 390, "height": 800})
    paths = ["/admin/", VERSIONS, RUNS, f"{RUNS}start/train", f"{RUNS}start/finetune"]
    paths += [f"{VERSIONS}1/change/", ALERTS, PHOTOS]
    too_wide = []
    for path in paths:
        bobs_page.goto(path)
        if bobs_page.evaluate("document.documentElement.scrollWidth") > 390:
            too_wide.append(path)
    assert too_wide == []


def test_the_worst_photos_are_found_corrected_and_compared(bobs_page: Page, stack: Stack) -> None:
    page = bobs_page
    page.goto(f"{VERSIONS}compare/?a=1&b=2")
    # A worker measures both versions; the page updates by itself.
    expect(visible(page, "h2", "Where they disagree")).to_be_visible(timeout=180_000)
    page.goto(f"{VERSIONS}1/change/")
    visible(page, "a", "Photos named wrongly").click()
    cards = page.locator(".photo-card")
    expect(cards.first.locator("img")).to_have_js_property("complete", True)
    scores = [float(text.split()[0]) for text in cards.locator("strong").all_text_contents()]
    assert scores == sorted(scores, reverse=True)
    errors = len(scores)
    assert errors >= 2

    boxes = page.locator(".photo-card input[type=checkbox]")
    chosen = [int((boxes.nth(n).get_attribute("value") or "").split(":")[0]) for n in (0, 1)]
    boxes.nth(0).check()
    boxes.nth(0).press("Enter")  # decides nothing
    expect(visible(page, ".messagelist li", "Choose what to do")).to_be_visible()
    for n in (0, 1):
        boxes.nth(n).check()
    page.select_option("form .review-bar [name=species]", "Coprinus comatus")
    page.click("text=Correct selected")
    expect(visible(page, ".messagelist .success", "2 photos corrected.")).to_be_visible()
    expect(page.locator(".photo-card .status", has_text="labelled now")).to_have_count(2)
    labels = f"sorted(Photo.objects.filter(pk__in={chosen}).values_list('label__name', flat=True))"
    assert query(stack, labels) == ["Coprinus comatus"] * 2
    visible(page, "button", "Undo: 2 photos corrected").click()
    expect(page.locator(".photo-card .status", has_text="labelled now")).to_have_count(0)

    wrong = page.locator(".matrix td.wrong a").first
    count = int(wrong.inner_text())
    wrong.click()
    expect(cards).to_have_count(min(count, 24))
    bar = page.locator(".reliability .chart a").first
    bar.focus()
    name = bar.get_attribute("aria-label") or ""
    page.keyboard.press("Enter")
    page.wait_for_url("**score_bin=0**")
    expect(cards).to_have_count(int(name.split()[0]))

    visible(page, "a", "Compare it with another").click()
    page.select_option("[name=b]", label="VGG16 2")
    page.click("button:text-is('Compare')")
    only_second = page.locator(".gallery-pages a", has_text="only VGG16 2 is right")
    count = int(only_second.inner_text().rpartition(" ")[2])
    only_second.click()
    expect(page.locator(".disagreements .card")).to_have_count(min(count, 36))


def test_promotion_and_rollback(bobs_page: Page, stack: Stack, take_screenshot) -> None:
    in_production = "ModelVersion.objects.get(stage='Production').version"
    page = bobs_page
    page.goto(VERSIONS)
    visible(page, "a", "Promote…").click()
    # A worker measures both versions; the page updates by itself.
    expect(visible(page, "h2", "What the gate says")).to_be_visible(timeout=180_000)
    expect(page.locator(".gate .bad")).to_have_count(0)
    picture = visible(page, ".disagreements img")
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("each => each.naturalWidth") > 0
    take_screenshot(page, "promotion", 1560)

    page.click("form.run-form input[type=submit]")
    assert query(stack, in_production) == 1, "without a reason nothing may be switched"
    page.fill("#id_reason", "It is surer of Mycena haematopus.")
    page.click("form.run-form input[type=submit]")
    expect(visible(page, ".messagelist .success", "VGG16 2 is in production.")).to_be_visible()
    expect(visible(page, "#result_list tr", "VGG16 2")).to_contain_text("in production")
    assert query(stack, in_production) == 2
    take_screenshot(page, "versions", 580)

    page.click(".version-rollback input[type=submit]")
    again = visible(page, ".messagelist .success", "VGG16 1 is in production again.")
    expect(again).to_be_visible()
    assert query(stack, in_production) == 1
    reasons = "[t.reason for t in StageTransition.objects.filter(model_version__version=2)]"
    assert "It is surer of Mycena haematopus." in query(stack, reasons)


def test_photos_are_reviewed_with_the_keyboard_and_the_mouse(
    bobs_page: Page, stack: Stack, take_screenshot
) -> None:
    page = bobs_page
    focused = "document.activeElement.dataset.photo"
    page.goto(f"{PHOTOS}?review=waiting")
    expect(visible(page, ".photo-card img")).to_be_visible()
    page.locator(".photo-card input[type=checkbox]").first.check()
    with page.expect_navigation():
        page.locator(".photo-card input[type=checkbox]").first.press("Enter")  # decides nothing
    expect(page.locator("#review-left")).to_have_text("16 photos are left here.")
    photos = page.evaluate(
        "[...document.querySelectorAll('.photo-card')].map(c => c.dataset.photo)"
    )
    assert len(photos) == 16
    ids, predicted = zip(*(photo.split(":") for photo in photos), strict=True)
    page.keyboard.press("j")
    for key, number in (("c", 0), ("1", 1), ("x", 2)):
        assert page.evaluate(focused) == photos[number]
        page.keyboard.press(key)
        expect(page.locator("#review-said")).to_contain_text(f"Photo {ids[number]}: ")
    said = page.locator("#review-said")
    page.keyboard.press("o")
    expect(said).to_contain_text(f"Photo {ids[3]}: 1 photo marked as other species.")
    page.keyboard.press("u")
    expect(said).to_contain_text("Undone: 1 photo as before.")
    for _ in range(2):
        page.keyboard.press("j")
    assert page.evaluate(focused) == photos[6]
    page.keyboard.press("n")
    visible(page, "[name=other_name]").fill("Boletus edulis")
    page.keyboard.press("Enter")
    expect(said).to_contain_text(f"Photo {ids[6]}: 1 photo marked as other species.")
    assert page.evaluate(focused) == photos[7]
    take_screenshot(page, "review", 1000)
    for number in (4, 5):
        page.click(f".photo-card[data-photo='{photos[number]}'] input[type=checkbox]")
    page.click(".review-bar button[value=confirm]")
    expect(visible(page, ".messagelist .success")).to_be_visible()

    fields = "'label__name', 'label_source', 'split', 'excluded', 'reviewed_by__username'"
    chosen = [int(ids[number]) for number in range(7)]
    newest_first = f"Photo.objects.filter(pk__in={chosen}).order_by('-pk')"
    rows = query(stack, f"list({newest_first}.values_list({fields}))")
    assert rows[0] == (predicted[0], "confirmed", "training", False, "bob")
    assert rows[1] == ("Aleuria aurantia", "corrected", "training", False, "bob")
    assert rows[2][2:] == ("", True, "bob")
    assert rows[3][4] is None, "this photo was not reviewed"
    assert [row[:2] for row in rows[4:6]] == [(name, "confirmed") for name in predicted[4:6]]
    assert rows[6] == (None, "corrected", "training", False, "bob")
    other = f"Photo.objects.filter(is_other=True, other_name='Boletus edulis', pk={ids[6]})"
    assert query(stack, f"{other}.count()") == 1


def test_run_is_started_shows_progress_and_is_cancelled(
    bobs_page: Page, stack: Stack, take_screenshot
) -> None:
    page = bobs_page
    page.goto(RUNS)
    visible(page, "a", "Start a training").click()
    page.fill("#id_variables", "2")  # the dense layer alone has no epochs
    page.fill("#id_epochs", "501")
    visible(page, "input[type=submit]").click()
    expect(visible(page, ".errornote", "Nothing was started.")).to_be_visible()
    assert query(stack, "TrainingRun.objects.count()") == 0
    page.fill("#id_epochs", "500")
    visible(page, "input[type=submit]").click()

    expect(visible(page, ".status", "unning")).to_be_visible(timeout=60_000)
    page.evaluate("window.sameDocument = true")
    percent = "document.querySelector('.run-now progress').value"
    before = page.evaluate(percent)
    after = wait_for(page, f"{percent} > {before} && {percent}", seconds=300)
    if "CHAMPIPY_SCREENSHOTS" in os.environ:
        wait_for(page, "document.querySelectorAll('.run-now tbody tr').length > 12", seconds=600)
        take_screenshot(page, "run", 1200)
    assert 0 < after < 100
    assert page.evaluate("window.sameDocument"), "the page was reloaded"

    page.goto("/admin/")
    expect(visible(page, "#dashboard tr", "running")).to_be_visible()
    take_screenshot(page, "dashboard", 792)
    visible(page, "#dashboard td a", "1").click()
    visible(page, "a", "Cancel this run").click()
    visible(page, "input[type=submit]").click()
    expect(visible(page, ".status", "ancelled")).to_be_visible()
    assert query(stack, "TrainingRun.objects.get().status") == "cancelled"
    assert query(stack, "ModelVersion.objects.count()") == 2, (
        "a cancelled run must not leave a version"
    )


def test_the_apis_page_lists_the_calls_and_sends_one(bobs_page: Page) -> None:
    """It loads under the Content-Security-Policy; Chromium's complaints would fail the test."""
    bobs_page.goto("/api/v1/docs")
    bobs_page.click("#operations-service-getStatus .opblock-summary-control")
    bobs_page.click("#operations-service-getStatus .try-out__btn")
    bobs_page.click("#operations-service-getStatus .execute")
    answer = bobs_page.locator("#operations-service-getStatus .live-responses-table")
    expect(answer).to_contain_text('"status": "ok"')
