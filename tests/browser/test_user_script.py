"""Tests the user script in Chromium, in the replica's pages, with a complete stack."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from accounts.services import PUBLISHED_PASSWORDS
from tests.support.browser import NewPage, visible, wait_for
from tests.support.mushroom_observer import MushroomObserver
from tests.support.stack import Stack, stack_asking
from tests.support.user_scripts import UserScriptManager

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ONE_NAME, TWO_NAMES, THIRD = 500_000, 500_021, 500_042
PANEL = "section[data-champipy]"
BADGES = """[...document.querySelectorAll("span[data-champipy]")].map(
    (each) => [each.previousElementSibling.textContent, each.textContent, each.title])"""
JUDGED = "photos judged by VGG16"


@pytest.fixture(scope="module")
def site(browser: Browser) -> Iterator[MushroomObserver]:
    with MushroomObserver(observations=12) as site:
        site.manners.refuses_scripts = False  # a headless browser is one for it
        yield site


@pytest.fixture(scope="module")
def stack(site: MushroomObserver) -> Iterator[Stack]:
    with stack_asking(site) as stack:
        yield stack


@pytest.fixture(scope="module")
def token(stack: Stack) -> str:
    login = {"username": "alice", "password": PUBLISHED_PASSWORDS["alice"]}
    return requests.post(f"{stack.url}/api/v1/token", json=login, timeout=30).json()["token"]


@pytest.fixture
def base_url(site: MushroomObserver) -> str:
    return site.url


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()


@pytest.fixture
def with_promises() -> bool:
    return True


@pytest.fixture
def manager(page: Page, stack: Stack, with_promises: bool) -> UserScriptManager:
    """Return a manager with our user script, which works in `page`."""
    script = requests.get(f"{stack.url}/champipy.user.js", timeout=30).text
    return UserScriptManager(page, script=script, with_promises=with_promises)


def told(stack: Stack, token: str, number: int) -> list[list[str]]:
    """Return what badges should say of an observation: [name, words, reason] for each."""
    answer = requests.post(
        f"{stack.url}/api/v1/observations",
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


@pytest.mark.parametrize("with_promises", [True, False], ids=["GM", "GM_"])
def test_badges_say_the_verdicts_once_the_token_is_right(
    page: Page, manager: UserScriptManager, stack: Stack, site: MushroomObserver, token: str
) -> None:
    page.goto(f"/observations/{TWO_NAMES}")
    expect(visible(page, PANEL, "ChampiPy needs your token")).to_be_visible()
    assert manager.sent == []
    manager.answers = ["nonsense", token]
    visible(page, "button", "Enter token").click()
    expect(visible(page, PANEL, "ChampiPy does not know this token")).to_be_visible()
    assert [words for _, words, _ in page.evaluate(BADGES)] == ["not asked", "not asked"]
    visible(page, "button", "Enter token").click()
    expect(visible(page, PANEL, JUDGED)).to_be_visible(timeout=90_000)
    expected = told(stack, token, TWO_NAMES)
    assert len(expected) == 2
    assert sorted(page.evaluate(BADGES)) == sorted(expected)
    observations = f"{stack.url}/api/v1/obs"
    assert {url for _, url in manager.sent if not url.startswith(observations)} == set()
    assert manager.stored == {"token": token}

    visible(page, "button", "Forget token").click()
    expect(visible(page, PANEL, "token is forgotten")).to_be_visible()
    assert manager.stored == {}
    assert [words for _, words, _ in page.evaluate(BADGES)] == ["not asked", "not asked"]


def test_page_learns_nothing_of_the_token(
    page: Page, manager: UserScriptManager, site: MushroomObserver, token: str
) -> None:
    page.goto(f"/observations/{ONE_NAME}")
    # Playwright's `evaluate` would call what is replaced here; DevTools' does not.
    devtools = page.context.new_cdp_session(page)

    def evaluate(expression: str) -> Any:
        options = {"expression": expression, "returnByValue": True}
        answer = devtools.send("Runtime.evaluate", options)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    evaluate(
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
    evaluate("[...document.querySelectorAll('button')].forEach((each) => each.click())")
    manager.answers = [token]
    visible(page, "button", "Enter token").click()
    expect(visible(page, PANEL, JUDGED)).to_be_visible(timeout=90_000)
    assert manager.stored == {"token": token}
    assert evaluate("heard") == []
    assert evaluate("typeof GM + typeof GM_getValue + typeof manager") == "undefined" * 3
    seen = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, "
    assert token not in evaluate(f"{seen} document.documentElement.outerHTML])")
    assert not any(token in str(vars(request)) for request in site.requests)


def test_badges_follow_pages_that_turbo_changes(
    page: Page, manager: UserScriptManager, stack: Stack, token: str
) -> None:
    manager.stored["token"] = token
    page.goto("/observations")
    page.evaluate("window.sameDocument = true")
    for number in (ONE_NAME, THIRD):
        visible(page, "a", f"({number})").click()
        expect(visible(page, PANEL, JUDGED)).to_be_visible(timeout=90_000)
        assert page.evaluate(BADGES) == told(stack, token, number)
        visible(page, "nav a").click()
        expect(visible(page, "h1", "Observations")).to_be_visible()
    asked = len(manager.sent)
    page.evaluate("history.back()")
    expect(visible(page, PANEL, JUDGED)).to_be_visible()
    assert page.evaluate(BADGES) == told(stack, token, THIRD)
    assert len(manager.sent) == asked, "what is known is not asked again"

    # Turbo puts a copy of the page in place, and parts of it anew.
    page.evaluate("document.body.replaceWith(document.body.cloneNode(true))")
    wait_for(page, f"document.querySelectorAll('{PANEL}').length == 1")
    expect(visible(page, PANEL, JUDGED)).to_be_visible()
    wait_for(page, f"{BADGES}.length == 1")
    assert page.evaluate(BADGES) == told(stack, token, THIRD)
    page.evaluate("document.querySelectorAll('td span').forEach((each) => each.remove())")
    wait_for(page, f"{BADGES}.length == 1")
    assert page.evaluate("sameDocument"), "all of this was one document"


@pytest.mark.parametrize(("paper", "ink"), [("#ffffff", "#222222"), ("#111111", "#dddddd")])
def test_badges_can_be_read_on_light_and_dark_pages(
    page: Page, manager: UserScriptManager, token: str, paper: str, ink: str
) -> None:
    manager.stored["token"] = token
    page.goto("/observations")
    page.evaluate(f"document.documentElement.style = 'background: {paper}; color: {ink}'")
    visible(page, "a", f"({TWO_NAMES})").click()
    expect(visible(page, PANEL, JUDGED)).to_be_visible(timeout=90_000)
    contrasts = page.evaluate(
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
    page: Page, manager: UserScriptManager, site: MushroomObserver, token: str
) -> None:
    manager.stored["token"] = token
    site.manners.retry_after = "1"
    page.goto("/observations")
    site.manners.in_maintenance = True
    try:
        # The page itself would be away, too: show one that was loaded before.
        page.evaluate(
            """(() => {
                history.pushState({}, "", "/observations/500063");
                document.body.innerHTML = '<h1 id="box_title_500063">Observation</h1>';
            })()"""
        )
        expect(visible(page, PANEL, "Ask again in")).to_be_visible()
        asked = len(manager.sent)
        visible(page, "button", "Ask again").click()
        expect(visible(page, PANEL, "ChampiPy asked for a pause.")).to_be_visible()
        assert len(manager.sent) == asked
    finally:
        site.manners.in_maintenance = False


def test_verdicts_stand_in_the_panel_where_the_names_are_not_found(
    page: Page, manager: UserScriptManager, stack: Stack, token: str
) -> None:
    manager.stored["token"] = token
    page.goto("/observations")
    page.evaluate(
        f"""(() => {{
            history.pushState({{}}, "", "/observations/{TWO_NAMES}");
            document.body.innerHTML = '<p><a class="propose-naming-link" href=' +
                '"/observations/{TWO_NAMES}/namings/new">Propose another name</a></p>';
        }})()"""
    )
    expect(visible(page, PANEL, JUDGED)).to_be_visible(timeout=90_000)
    listed = page.evaluate(
        f"""[...document.querySelectorAll("{PANEL} li")].map((each) => {{
            const badge = each.querySelector("span");
            return [each.querySelector("i[lang=la]").textContent, badge.textContent, badge.title];
        }})"""
    )
    assert listed == told(stack, token, TWO_NAMES)
    assert page.evaluate(BADGES) == []
