"""Checks pages against WCAG 2.2 AA with axe, and that no page scrolls sideways."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
ADVICE = "best-practice"


def accessibility_violations(page: Page, *, excluded: tuple[str, ...] = ()) -> list[str]:
    """Return what axe finds in the page against WCAG 2.2 AA: one text for each rule and element.

    `excluded` are CSS selectors of parts that are not ours. What is only good practice is printed.
    """
    page.evaluate(AXE_SCRIPT)
    results = page.evaluate(
        "([excluded, values]) => axe.run({exclude: excluded},"
        " {runOnly: {type: 'tag', values}, resultTypes: ['violations'], preload: false})",
        [list(excluded), [*RULES, ADVICE]],
    )
    found: list[str] = []
    for violation in results["violations"]:
        texts = [_text(page, violation, node) for node in violation["nodes"]]
        if ADVICE in violation["tags"]:
            print("\n".join(f"advice: {text}" for text in texts))
        else:
            found += texts
    return found


def _text(page: Page, violation: dict[str, Any], node: dict[str, Any]) -> str:
    summary = " ".join(node["failureSummary"].split())
    return f"{page.url} {violation['id']} at {node['target']}: {summary}"


def assert_accessible(page: Page, *, excluded: tuple[str, ...] = ()) -> None:
    """Fail with all that axe finds in the page against WCAG 2.2 AA."""
    assert accessibility_violations(page, excluded=excluded) == []


def sideways_overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than the window; 0 if it fits."""
    width: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return width
