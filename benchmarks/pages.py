"""Measures how large the verifiers' pages are, and how soon one can use them.

    .venv/bin/python -m benchmarks.pages

It starts its own stack, and opens each page in a Chromium with an empty cache (found as for the
tests). Bytes are those of documents, scripts, styles and icons: photos do not count.
"""

import argparse
import statistics
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks.service import stack
from tests.support.browser import PAGE_WEIGHT, find_browser, log_in

PATHS = ("/login", "/", "/queue", "/finds", "/account")


def measure(browser: Browser, base: str, path: str) -> dict[str, Any]:
    """Open a page with an empty cache; return its bytes, and milliseconds since it was asked for.

    `interactive`: the document is read and all its scripts have run (DOMContentLoaded).
    """
    context = browser.new_context(base_url=base)
    page = context.new_page()
    if path != "/login":
        log_in(page, "alice")
        cookies = context.cookies()
        context.close()
        context = browser.new_context(base_url=base)
        context.add_cookies(cookies)  # type: ignore[arg-type]
        page = context.new_page()
    page.goto(path, wait_until="load")
    measured: dict[str, Any] = page.evaluate(PAGE_WEIGHT)
    context.close()
    return measured


def main() -> None:
    """Start a stack and a browser, and print one line for each page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8097)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    program = find_browser()
    if program is None:
        raise SystemExit("There is no Chromium on PATH: install it or name it in CHAMPIPY_BROWSER.")
    with stack(arguments.port) as (base, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        site = base.removesuffix("/api/v1")
        print("path       requests  kB sent  kB decoded  interactive ms  loaded ms  (medians)")
        for path in PATHS:
            rows = [measure(browser, site, path) for _ in range(arguments.repeats)]
            middle = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
            print(
                f"{path:10} {middle['requests']:8} {middle['sent'] / 1000:8.1f}"
                f" {middle['decoded'] / 1000:11.1f} {middle['interactive']:15.0f}"
                f" {middle['loaded']:10.0f}"
            )
        browser.close()


if __name__ == "__main__":
    main()
