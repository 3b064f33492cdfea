"""A Chromium driven by Playwright: finds it, watches its pages for faults, logs people in."""

import os
import re
import shutil
import time
from typing import Any, Protocol
from urllib.parse import urlsplit

from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    WebError,
)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PASSWORDS = {"alice": "wonderland", "bob": "builder", "clementine": "mandarine"}
"""Of users who come with a new installation. Not imported: benchmarks run without Django."""

# Options of new pages. They combine: `new_page("alice", **PHONE, **FRENCH)`.
PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "has_touch": True,
    "is_mobile": True,
}
DARK: dict[str, Any] = {"color_scheme": "dark"}
FRENCH: dict[str, Any] = {"locale": "fr-FR"}
NO_SCRIPT: dict[str, Any] = {"java_script_enabled": False}

PAGE_WEIGHT = """(() => {
    const page = performance.getEntriesByType("navigation")[0];
    const parts = performance.getEntriesByType("resource");
    const isPhoto = (each) => new URL(each.name).pathname.startsWith("/pictures/");
    const all = [page, ...parts.filter((each) => !isPhoto(each))];
    const sum = (key) => all.reduce((total, each) => total + each[key], 0);
    return {
        requests: all.length,
        sent: sum("transferSize"),
        decoded: sum("decodedBodySize"),
        interactive: page.domContentLoadedEventEnd,
        loaded: page.loadEventEnd,
    };
})()"""
"""An expression for `evaluate`: requests and bytes of a page without its photos, and milliseconds
until its scripts had run and until all of it was loaded. With an empty cache, `sent` is all of it.
"""


class NewPage(Protocol):
    """Opens a page in a window of its own, with cookies of its own.

    `user` is logged in. Options go to Playwright's `new_context`: see `PHONE`, `DARK`, `FRENCH` and
    `NO_SCRIPT`. The language is English unless an option says otherwise.
    """

    def __call__(self, user: str = "", **options: Any) -> Page: ...


def find_browser() -> str | None:
    """Return the program in CHAMPIPY_BROWSER, else the first Chromium on PATH, else None."""
    given = os.environ.get("CHAMPIPY_BROWSER")
    return shutil.which(given) if given else next(filter(None, map(shutil.which, NAMES)), None)


class PageFaults:
    """Collects what goes wrong in the pages of a browser context.

    Faults are exceptions in scripts, warnings and errors in the console (which is where Chromium
    tells violations of a Content-Security-Policy), responses with a status of 400 or more,
    requests that fail, and requests to another origin than `site`.
    """

    def __init__(self, context: BrowserContext, site: str) -> None:
        self.site = site
        self._faults: list[str] = []
        context.on("weberror", self._take_exception)
        context.on("console", self._take_message)
        context.on("request", self._take_request)
        context.on("response", self._take_response)
        context.on("requestfailed", self._take_failure)

    def take(self) -> list[str]:
        """Return the faults since the last call, and forget them."""
        faults, self._faults = self._faults, []
        return faults

    def _take_exception(self, error: WebError) -> None:
        self._faults.append(f"script: {error.error}")

    def _take_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._faults.append(f"console: {message.text} ({message.location['url']})")

    def _take_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if (
            parts.scheme not in {"data", "about", "blob"}
            and f"{parts.scheme}://{parts.netloc}" != self.site
        ):
            self._faults.append(f"request to another site: {request.url}")

    def _take_response(self, response: Response) -> None:
        if response.status >= 400:
            self._faults.append(f"response: {response.status} {response.url}")

    def _take_failure(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left during the request
            self._faults.append(f"request: {request.failure} {request.url}")


def log_in(page: Page, name: str) -> None:
    """Log in as one of the users who come with a new installation."""
    page.goto("/login")
    page.fill("[name=username]", name)
    page.fill("[name=password]", PASSWORDS[name])
    page.keyboard.press("Enter")
    page.wait_for_url("/")


def visible(page: Page, selector: str, text: str = "") -> Locator:
    """Return the first visible element that matches the selector and contains the text.

    The text is compared as it is written: unlike Playwright's `has_text`, with upper case.
    """
    found = page.locator(selector).filter(visible=True)
    return (found.filter(has_text=re.compile(re.escape(text))) if text else found).first


def wait_for(page: Page, condition: str, seconds: float = 30) -> Any:
    """Wait until a JavaScript expression is true in the page, and return its value.

    Playwright's `wait_for_function` does the same with `eval`, which our policy forbids the page.
    """
    deadline = time.monotonic() + seconds
    while not (value := page.evaluate(condition)):
        assert time.monotonic() < deadline, f"waited for {condition} in:\n{page.inner_text('body')}"
        page.wait_for_timeout(100)
    return value
