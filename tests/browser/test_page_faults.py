"""Tests that the faults which fail browser tests are seen at all."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import PageFaults
from tests.support.photo_server import PhotoServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

POLICY = "<meta http-equiv='Content-Security-Policy' content=\"script-src 'self'\">"
PAGES = {
    "sound": ("<script>console.log('all is well')</script>", []),
    "exception": ("<script>throw new Error('broken')</script>", ["script: broken"]),
    "warning": ("<script>console.warn('careful')</script>", ["console: careful"]),
    "policy": (f"{POLICY}<script>1</script>", ["console: Executing inline script violates"]),
    "missing": (
        "<img src='/missing.png' alt=''>",
        ["console: Failed to load resource: the server responded with a status of 404", "404"],
    ),
    "other site": (
        "<img src='http://127.0.0.1:9/other.png' alt=''>",
        ["console: Failed to load resource", "request to another site", "request: net::ERR"],
    ),
}


@pytest.fixture(scope="module")
def server() -> Iterator[PhotoServer]:
    head = "<!doctype html><html lang='en'><link rel='icon' href='data:,'><title>Page</title>"
    files = {f"{name}.html": (head + body).encode() for name, (body, _) in PAGES.items()}
    with PhotoServer(files=files) as server:
        yield server


@pytest.mark.parametrize("name", PAGES)
def test_faults_of_a_page_are_collected(browser: Browser, server: PhotoServer, name: str) -> None:
    context = browser.new_context()
    faults = PageFaults(context, f"http://{server.address}")
    context.new_page().goto(server.url(f"{name}.html"), wait_until="load")
    context.close()
    found, expected = sorted(faults.take()), PAGES[name][1]
    assert len(found) == len(expected), found
    assert all(part in fault for part, fault in zip(expected, found, strict=True)), found
