"""Tests the user script in Chromium, in the replica's pages, with a complete stack."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.mushroom_observer import MushroomObserver
from tests.support.stack import Stack, stack_in_a_folder
from tests.support.user_scripts import UserScriptBrowser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ONE_NAME, TWO_NAMES, THIRD = 500_000, 500_021, 500_042
PANEL = "section[data-champipy]"
BADGES = """[...document.querySelectorAll("span[data-champipy]")].map(
    (each) => [each.previousElementSibling.textContent, each.textContent, each.title])"""
JUDGED = "photos judged by VGG16"


@pytest.fixture(scope="module")
def site(chromium_program: str) -> Iterator[MushroomObserver]:
    with MushroomObserver(observations=12) as site:
        site.manners.refuses_scripts = False  # a headless browser is one for it
        yield site


@pytest.fixture(scope="module")
def stack(site: MushroomObserver) -> Iterator[Stack]:
    settings = {
        "CHAMPIPY_MUSHROOM_OBSERVER_URL": site.url,
        "CHAMPIPY_FETCH_ALLOW": site.address,
    }
    with stack_in_a_folder(**settings) as stack:
        done = stack.up()
        assert done.returncode == 0, done.stdout + done.stderr
        yield stack


@pytest.fixture(scope="module")
def champipy(stack: Stack) -> str:
    return f"http://127.0.0.1:{stack.port}"


@pytest.fixture(scope="module")
def token(champipy: str) -> str:
    login = {"username": "alice", "password": "wonderland"}
    return requests.post(f"{champipy}/api/v1/token", json=login, timeout=30).json()["token"]


@pytest.fixture(params=["GM", "GM_"])
def with_promises(request: pytest.FixtureRequest) -> bool:
    return request.param == "GM"


@pytest.fixture
def browser(
    champipy: str, site: MushroomObserver, chromium_program: str, tmp_path: Path
) -> Iterator[UserScriptBrowser]:
    yield from _browser(champipy, site, chromium_program, tmp_path, with_promises=True)


@pytest.fixture
def any_browser(
    champipy: str,
    site: MushroomObserver,
    chromium_program: str,
    tmp_path: Path,
    with_promises: bool,
) -> Iterator[UserScriptBrowser]:
    yield from _browser(champipy, site, chromium_program, tmp_path, with_promises=with_promises)


def _browser(
    champipy: str, site: MushroomObserver, program: str, profile: Path, *, with_promises: bool
) -> Iterator[UserScriptBrowser]:
    script = requests.get(f"{champipy}/champipy.user.js", timeout=30).text
    browser = UserScriptBrowser(
        program, site.url, profile, script=script, with_promises=with_promises
    )
    try:
        yield browser
        browser.check()
    finally:
        browser.close()


def told(champipy: str, token: str, number: int) -> list[list[str]]:
    """Return what badges should say of an observation: [name, words, reason] for each."""
    answer = requests.post(
        f"{champipy}/api/v1/observations",
        json={"mushroom_observer": number},
        headers={"Authorization": f"Token {token}", "Prefer": "wait=30"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return [
        [each["proposed"], _words(each), each["because"] or ""]
        for each in answer.json()["verdicts"]
    ]


def _words(verdict: dict[str, Any]) -> str:
    score = verdict["score"] or 0
    return {
        "supported": f"supports {'over 99' if score > 99 else int(score)} %",
        "contradicted": "contradicts",
        "undecided": "cannot tell",
        "not_covered": "not one of my species",
    }[verdict["verdict"]]


def test_badges_say_the_verdicts_once_the_token_is_right(
    any_browser: UserScriptBrowser, champipy: str, site: MushroomObserver, token: str
) -> None:
    browser = any_browser
    browser.open(f"/observations/{TWO_NAMES}")
    browser.find(PANEL, "ChampiPy needs your token")
    assert browser.sent == []
    browser.answers = ["nonsense", token]
    browser.click("button", "Enter token")
    browser.find(PANEL, "ChampiPy does not know this token")
    assert [words for _, words, _ in browser.evaluate(BADGES)] == ["not asked", "not asked"]
    browser.click("button", "Enter token")
    browser.find(PANEL, JUDGED, seconds=90)
    expected = told(champipy, token, TWO_NAMES)
    assert len(expected) == 2
    assert sorted(browser.evaluate(BADGES)) == sorted(expected)
    assert {url for _, url in browser.sent if not url.startswith(f"{champipy}/api/v1/obs")} == set()
    assert browser.stored == {"token": token}

    browser.click("button", "Forget token")
    browser.find(PANEL, "token is forgotten")
    assert browser.stored == {}
    assert [words for _, words, _ in browser.evaluate(BADGES)] == ["not asked", "not asked"]


def test_page_learns_nothing_of_the_token(
    browser: UserScriptBrowser, site: MushroomObserver, token: str
) -> None:
    browser.open(f"/observations/{ONE_NAME}")
    browser.evaluate(
        """(() => {
            window.heard = [];
            const hear = (...all) => { heard.push(...all.map(String)); };
            window.prompt = (...all) => { hear("page's prompt"); return "from the page"; };
            window.fetch = hear;
            XMLHttpRequest.prototype.setRequestHeader = hear;
            Map.prototype.set = Map.prototype.get = hear;
            for (const kind of ["keydown", "input", "paste", "message", "change"])
                addEventListener(kind, (event) => hear(event.key, event.data), true);
        })()"""
    )
    # A click by the page's own script is none of a person.
    browser.evaluate("[...document.querySelectorAll('button')].forEach((each) => each.click())")
    browser.answers = [token]
    browser.click("button", "Enter token")
    browser.find(PANEL, JUDGED, seconds=90)
    assert browser.stored == {"token": token}
    assert browser.evaluate("heard") == []
    assert browser.evaluate("typeof GM + typeof GM_getValue + typeof manager") == "undefined" * 3
    seen = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, "
    assert token not in browser.evaluate(f"{seen} document.documentElement.outerHTML])")
    assert not any(token in str(vars(request)) for request in site.requests)


def test_badges_follow_pages_that_turbo_changes(
    browser: UserScriptBrowser, champipy: str, token: str
) -> None:
    browser.stored["token"] = token
    browser.open("/observations")
    browser.evaluate("window.sameDocument = true")
    for number in (ONE_NAME, THIRD):
        browser.click("a", f"({number})")
        browser.find(PANEL, JUDGED, seconds=90)
        assert browser.evaluate(BADGES) == told(champipy, token, number)
        browser.click("nav a")
        browser.find("h1", "Observations")
    asked = len(browser.sent)
    browser.evaluate("history.back()")
    browser.find(PANEL, JUDGED)
    assert browser.evaluate(BADGES) == told(champipy, token, THIRD)
    assert len(browser.sent) == asked, "what is known is not asked again"

    # Turbo puts a copy of the page in place, and parts of it anew.
    browser.evaluate("document.body.replaceWith(document.body.cloneNode(true))")
    browser.wait(f"document.querySelectorAll('{PANEL}').length == 1", "one panel")
    browser.find(PANEL, JUDGED)
    browser.wait(f"{BADGES}.length == 1", "one badge")
    assert browser.evaluate(BADGES) == told(champipy, token, THIRD)
    browser.evaluate("document.querySelectorAll('td span').forEach((each) => each.remove())")
    browser.wait(f"{BADGES}.length == 1", "the badge again")
    assert browser.evaluate("sameDocument"), "all of this was one document"


@pytest.mark.parametrize(("paper", "ink"), [("#ffffff", "#222222"), ("#111111", "#dddddd")])
def test_badges_can_be_read_on_light_and_dark_pages(
    browser: UserScriptBrowser, token: str, paper: str, ink: str
) -> None:
    browser.stored["token"] = token
    browser.open("/observations")
    browser.evaluate(f"document.documentElement.style = 'background: {paper}; color: {ink}'")
    browser.click("a", f"({TWO_NAMES})")
    browser.find(PANEL, JUDGED, seconds=90)
    contrasts = browser.evaluate(
        """[...document.querySelectorAll("span[data-champipy]")].map((each) => {
            const light = (colour) => {
                const [r, g, b] = colour.match(/[\\d.]+/g).map((part) => {
                    const value = part / 255;
                    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
                });
                return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
            };
            const style = getComputedStyle(each);
            const [dark, bright] = [light(style.color), light(style.backgroundColor)].sort();
            return bright / dark;
        })"""
    )
    assert len(contrasts) == 2
    assert min(contrasts) > 7


def test_panel_says_what_to_do_while_mushroom_observer_is_away(
    browser: UserScriptBrowser, site: MushroomObserver, token: str
) -> None:
    browser.stored["token"] = token
    site.manners.retry_after = "1"
    browser.open("/observations")
    site.manners.in_maintenance = True
    try:
        # The page itself would be away, too: show one that was loaded before.
        browser.evaluate(
            """(() => {
                history.pushState({}, "", "/observations/500063");
                document.body.innerHTML = '<h1 id="box_title_500063">Observation</h1>';
            })()"""
        )
        browser.find(PANEL, "Ask again in")
        asked = len(browser.sent)
        browser.click("button", "Ask again")
        browser.find(PANEL, "ChampiPy asked for a pause.")
        assert len(browser.sent) == asked
    finally:
        site.manners.in_maintenance = False
