"""Fixtures: a stack with drawn photos, and pages of a browser that fails tests on any fault."""

import os
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from accounts.services import PUBLISHED_PASSWORDS
from tests.support.browser import NewPage, PageFaults, find_browser, log_in, wait_for
from tests.support.drawings import (
    candidate_version,
    draw_evaluation_photos,
    draw_training_photos,
    mushroom,
)
from tests.support.filled_queue import stack_with_a_queue
from tests.support.stack import Stack, prepared_stack

PREDICTED = range(500, 516)
"""Seeds of the drawings for which alice requested predictions."""
WINDOW: ViewportSize = {"width": 1200, "height": 900}

expect.set_options(timeout=30_000)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Yield a headless Chromium; skip the test if there is none.

    It ends with this package, not with the session: while Playwright runs, the thread has a running
    event loop, and Django refuses to use the database there.
    """
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium on PATH: install it or name it in CHAMPIPY_BROWSER")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def stack(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield a stack with training and evaluation photos, predictions and a version in Staging."""
    folder = tmp_path_factory.mktemp("drawn")
    candidate = candidate_version(folder / "candidate")
    draw_training_photos(folder / "training")
    draw_evaluation_photos(folder / "evaluation", candidate)
    with prepared_stack() as stack:
        for arguments in (
            ("up", "--detach", "--port", str(stack.port)),
            ("import_photos", str(folder / "training"), "--split", "training"),
            (
                "import_photos",
                str(folder / "evaluation"),
                "--split",
                "evaluation",
                "--allow-resembling",
            ),
            ("register_model", str(candidate)),
        ):
            done = stack(*arguments)
            assert done.returncode == 0, done.stdout + done.stderr
        predict(stack, [mushroom(seed) for seed in PREDICTED])
        yield stack


def predict(stack: Stack, photos: list[bytes]) -> None:
    """Request predictions of the photos as alice."""
    base = f"{stack.url}/api/v1"
    login = {"username": "alice", "password": PUBLISHED_PASSWORDS["alice"]}
    token = requests.post(f"{base}/token", json=login, timeout=30).json()["token"]
    headers = {"Authorization": f"Token {token}", "Prefer": "wait=30"}
    for photo in photos:
        answer = requests.post(
            f"{base}/predictions",
            headers=headers,
            files={"file": ("drawing.jpg", photo)},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="package")
def filled_queue(browser: Browser) -> Iterator[Stack]:
    """Yield a stack with `FINDS` finds in its queue, which takes minutes to fill."""
    with stack_with_a_queue(browser) as stack:
        yield stack


@pytest.fixture
def base_url(stack: Stack) -> str:
    """Return the address of the site whose pages are opened. Requests to others are faults."""
    return stack.url


@pytest.fixture
def new_page(browser: Browser, base_url: str) -> Iterator[NewPage]:
    """Return a function that opens pages. A fault in any of them fails the test at its end."""
    opened: list[tuple[Page, PageFaults]] = []

    def open_page(user: str = "", **options: Any) -> Page:
        defaults: dict[str, Any] = {"base_url": base_url, "locale": "en-GB", "viewport": WINDOW}
        context = browser.new_context(**(defaults | options))
        faults = PageFaults(context, base_url)
        page = context.new_page()
        opened.append((page, faults))
        if user:
            log_in(page, user)
        return page

    yield open_page
    for page, _ in opened:
        page.context.close()
    assert [fault for _, faults in opened for fault in faults.take()] == []


@pytest.fixture
def bobs_page(new_page: NewPage) -> Page:
    """Return a page on the admin's first page, where Bob is logged in."""
    page = new_page("bob")
    page.goto("/admin/")
    return page


@pytest.fixture
def take_screenshot() -> Callable[[Page, str, int], None]:
    """Return a function that saves the top of a page, `height` pixels, as NAME.webp.

    It saves to the folder CHAMPIPY_SCREENSHOTS, and does nothing if that is not set.
    """

    def save(page: Page, name: str, height: int) -> None:
        folder = os.environ.get("CHAMPIPY_SCREENSHOTS")
        if not folder:
            return
        page.set_viewport_size({"width": WINDOW["width"], "height": height})
        page.evaluate("scrollTo(0, 0)")
        shown = f"[...document.images].filter(each => each.getBoundingClientRect().y < {height})"
        wait_for(page, f"{shown}.every(each => each.complete && each.naturalWidth)")
        image = Image.open(BytesIO(page.screenshot()))
        image.convert("RGB").save(Path(folder) / f"{name}.webp", quality=80, method=6)
        page.set_viewport_size(WINDOW)

    return save
