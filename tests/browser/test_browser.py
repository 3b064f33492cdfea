"""Tests the admin pages as Bob uses them, with a headless Chromium and a complete stack.

With CHAMPIPY_SCREENSHOTS=docs/screenshots, these tests also make the screenshots in docs/.
"""

import ast
import os
from typing import Any

import pytest

from tests.support.chromium import Chromium
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


def test_first_page_shows_the_service_in_both_themes(browser: Chromium, take_screenshot) -> None:
    assert "VGG16 1" in browser.find("#dashboard .card", "In production")["text"]
    assert (
        "16 answered and 0 failed" in browser.find("#dashboard .card", "Predictions a day")["text"]
    )
    colours = "(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))"
    light = browser.evaluate(colours)
    browser.prefer("dark")
    assert not set(browser.evaluate(colours)) & set(light)


def test_pages_are_no_wider_than_a_phone(browser: Chromium) -> None:
    browser.resize(390, 800)
    paths = ["/admin/", VERSIONS, RUNS, f"{RUNS}start/train", f"{RUNS}start/finetune"]
    paths += [f"{VERSIONS}1/change/", ALERTS, PHOTOS]
    too_wide = []
    for path in paths:
        browser.open(path)
        if browser.evaluate("document.documentElement.scrollWidth") > 390:
            too_wide.append(path)
    assert too_wide == []


def test_promotion_and_rollback(browser: Chromium, stack: Stack, take_screenshot) -> None:
    in_production = "ModelVersion.objects.get(stage='Production').version"
    browser.open(VERSIONS)
    browser.click("a", "Promote…")
    # A worker measures both versions; the page updates by itself.
    browser.find("h2", "What the gate says", seconds=180)
    assert browser.evaluate("document.querySelectorAll('.gate .bad').length") == 0
    browser.find(".disagreements img")
    browser.wait("document.querySelector('.disagreements img').naturalWidth")
    take_screenshot("promotion", 1560)

    browser.click("form.run-form input[type=submit]")
    assert query(stack, in_production) == 1, "without a reason nothing may be switched"
    browser.fill("#id_reason", "It is surer of Mycena haematopus.")
    browser.click("form.run-form input[type=submit]")
    browser.find(".messagelist .success", "VGG16 2 is in production.")
    assert "in production" in browser.find("#result_list tr", "VGG16 2")["text"]
    assert query(stack, in_production) == 2
    take_screenshot("versions", 800)

    browser.click(".version-rollback input[type=submit]")
    browser.find(".messagelist .success", "VGG16 1 is in production again.")
    assert query(stack, in_production) == 1
    reasons = "[t.reason for t in StageTransition.objects.filter(model_version__version=2)]"
    assert "It is surer of Mycena haematopus." in query(stack, reasons)


def test_photos_are_reviewed_with_the_keyboard_and_the_mouse(
    browser: Chromium, stack: Stack, take_screenshot
) -> None:
    browser.open(f"{PHOTOS}?review=waiting")
    browser.find(".photo-card img")
    photos = browser.evaluate(
        "[...document.querySelectorAll('.photo-card')].map(c => c.dataset.photo)"
    )
    assert len(photos) == 16
    ids, predicted = zip(*(photo.split(":") for photo in photos), strict=True)
    browser.click("#toggle-nav-sidebar")  # more room for photos; the keys still work
    browser.press("j")
    for key, number in (("c", 0), ("1", 1), ("x", 2)):
        focused = browser.evaluate("document.activeElement.dataset.photo")
        assert focused == photos[number]
        browser.press(key)
        browser.find("#review-said", f"Photo {ids[number]}: ")
    browser.press("o")
    browser.find("#review-said", f"Photo {ids[3]}: 1 photo marked as other species.")
    browser.press("u")
    browser.find("#review-said", "Undone: 1 photo as before.")
    for _ in range(2):
        browser.press("j")
    assert browser.evaluate("document.activeElement.dataset.photo") == photos[6]
    browser.press("n")
    browser.fill("[name=other_name]", "Boletus edulis")
    browser.press("Enter")
    browser.find("#review-said", f"Photo {ids[6]}: 1 photo marked as other species.")
    assert browser.evaluate("document.activeElement.dataset.photo") == photos[7]
    take_screenshot("review", 1000)
    for number in (4, 5):
        browser.click(f".photo-card[data-photo='{photos[number]}'] input[type=checkbox]")
    browser.click(".review-bar button[value=confirm]")
    browser.find(".messagelist .success")

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
    browser: Chromium, stack: Stack, take_screenshot
) -> None:
    browser.open(RUNS)
    browser.click("a", "Start a training")
    browser.fill("#id_variables", "1")
    browser.fill("#id_epochs", "501")
    browser.click("input[type=submit]")
    browser.find(".errornote", "Nothing was started.")
    assert query(stack, "TrainingRun.objects.count()") == 0
    browser.fill("#id_epochs", "500")
    browser.click("input[type=submit]")

    browser.find(".status", "unning", seconds=60)
    browser.evaluate("window.sameDocument = true")
    percent = "document.querySelector('.run-now progress').value"
    before = browser.evaluate(percent)
    after = browser.wait(f"{percent} > {before} && {percent}", "progress", seconds=300)
    if "CHAMPIPY_SCREENSHOTS" in os.environ:
        browser.wait("document.querySelectorAll('.run-now tbody tr').length > 12", seconds=600)
        take_screenshot("run", 1200)
    assert 0 < after < 100
    assert browser.evaluate("window.sameDocument"), "the page was reloaded"

    browser.open("/admin/")
    browser.find("#dashboard tr", "running")
    take_screenshot("dashboard", 840)
    browser.click("#dashboard td a", "1")
    browser.click("a", "Cancel this run")
    browser.click("input[type=submit]")
    browser.find(".status", "ancelled")
    assert query(stack, "TrainingRun.objects.get().status") == "cancelled"
    assert query(stack, "ModelVersion.objects.count()") == 2, (
        "a cancelled run must not leave a version"
    )


def test_the_apis_page_lists_the_calls_and_sends_one(browser: Chromium) -> None:
    """It loads under the Content-Security-Policy; Chromium's complaints would fail the test."""
    browser.open("/api/v1/docs")
    browser.click("#operations-service-getStatus .opblock-summary-control")
    browser.click("#operations-service-getStatus .try-out__btn")
    browser.click("#operations-service-getStatus .execute")
    browser.wait(
        "document.querySelector('#operations-service-getStatus .live-responses-table')"
        '?.innerText.includes(\'"status": "ok"\')'
    )
