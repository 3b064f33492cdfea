"""Tests every page, in both themes: accessible, and never wider than the window."""

import pytest
import requests
from playwright.sync_api import Page

from accounts.services import PUBLISHED_PASSWORDS
from tests.support.accessibility import accessibility_violations, sideways_overflow
from tests.support.browser import DARK, NewPage
from tests.support.drawings import mushroom
from tests.support.filled_admin import fill_admin
from tests.support.page_paths import OPEN_PAGES, VERIFIERS_PAGES, admin_paths, paths_of_finds
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WIDTHS = (360, 1920)
THEMES = pytest.mark.parametrize("theme", [{}, DARK], ids=["light", "dark"])


@pytest.fixture(scope="module")
def finds(stack: Stack) -> list[str]:
    """Return the paths of finds of alice: one with three proposed names, and one that failed."""
    base = f"{stack.url}/api/v1"
    login = {"username": "alice", "password": PUBLISHED_PASSWORDS["alice"]}
    token = requests.post(f"{base}/token", json=login, timeout=30).json()["token"]
    names = ["Mycena haematopus", "Coprinus comatus", "Boletus edulis"]
    whole, broken = [mushroom(seed) for seed in (601, 602, 603)], [mushroom(604)[:3000]]
    for photos, status in ((whole, 200), (broken, 422)):
        answer = requests.post(
            f"{base}/observations",
            headers={"Authorization": f"Token {token}", "Prefer": "wait=30"},
            files=[("photo", (f"{n}.jpg", photo)) for n, photo in enumerate(photos)],
            data={"proposed": names},
            timeout=60,
        )
        assert answer.status_code == status, answer.text
    paths = paths_of_finds(stack, "alice")
    assert len(paths) == 4
    return paths


@pytest.fixture(scope="module")
def filled_pages(
    stack: Stack, finds: list[str], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """Return the paths of the admin, whose pages have rows of every kind."""
    filled = fill_admin(stack, tmp_path_factory.mktemp("others"))
    return [*admin_paths(stack), *filled]


def problems_of(page: Page, paths: list[str]) -> list[str]:
    """Open the pages one by one; return what is wrong with any of them."""
    problems = []
    size = page.viewport_size
    for path in paths:
        page.goto(path)
        problems += accessibility_violations(page)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            if overflow := sideways_overflow(page):
                problems.append(f"{path} is {overflow} pixels wider than {width}")
        page.set_viewport_size(size)
    return problems


@THEMES
def test_pages_without_a_login(new_page: NewPage, theme: dict) -> None:
    assert problems_of(new_page(**theme), list(OPEN_PAGES)) == []


@THEMES
def test_pages_of_verifiers(new_page: NewPage, finds: list[str], theme: dict) -> None:
    assert problems_of(new_page("alice", **theme), [*VERIFIERS_PAGES, *finds]) == []


@THEMES
def test_pages_of_the_admin(new_page: NewPage, filled_pages: list[str], theme: dict) -> None:
    assert problems_of(new_page("bob", **theme), filled_pages) == []
