"""The user script, as a text. tests/browser/test_user_script.py runs it."""

import json
import re

import pytest
from django.test import Client

URL = "/champipy.user.js"


def header(script: str) -> dict[str, list[str]]:
    """Return the lines of the script's header by their keys."""
    block = script.partition("// ==/UserScript==")[0]
    lines: dict[str, list[str]] = {}
    for key, value in re.findall(r"^// @(\S+) *(.*)$", block, re.MULTILINE):
        lines.setdefault(key, []).append(value)
    return lines


def script_of(client: Client, **extra: str) -> str:
    response = client.get(URL, **extra)
    assert response.status_code == 200
    assert response["Content-Type"] == "text/javascript; charset=utf-8"
    return response.content.decode()


def test_script_runs_at_mushroom_observer_and_asks_the_champipy_it_came_from(client) -> None:
    script = script_of(client, HTTP_HOST="localhost:8123")
    lines = header(script)
    assert lines["match"] == [
        "https://mushroomobserver.org/*",
        "https://www.mushroomobserver.org/*",
    ]
    assert lines["connect"] == ["localhost"]
    assert lines["downloadURL"] == lines["updateURL"] == [f"http://localhost:8123{URL}"]
    addresses = re.search(r"ADDRESSES = (.*);", script)
    assert addresses
    assert json.loads(addresses[1]) == {
        "champipy": "http://localhost:8123",
        "sites": ["https://mushroomobserver.org", "https://www.mushroomobserver.org"],
    }


def test_script_runs_at_the_site_that_is_configured(client, settings) -> None:
    settings.CHAMPIPY_MUSHROOM_OBSERVER_URL = "http://127.0.0.1:8077"
    script = script_of(client)
    assert header(script)["match"] == ["http://127.0.0.1/*"]
    assert '"sites": ["http://127.0.0.1:8077"]' in script


def test_script_runs_apart_from_the_page(client) -> None:
    lines = header(script_of(client))
    assert lines["inject-into"] == ["content"]
    assert lines["sandbox"] == ["DOM"]
    assert "unsafeWindow" not in lines["grant"]


@pytest.mark.parametrize(
    "unwanted",
    [
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function",
        r"localStorage|sessionStorage|document\.cookie|unsafeWindow|\bfetch\(|XMLHttpRequest\(",
        r"(?i)\b(eat|eating|edib\w*|inedib\w*|poison\w*|toxi\w*|cook\w*)\b",
    ],
    ids=["data as HTML", "storage and requests of the page", "words about eating"],
)
def test_script_is_without(client, unwanted: str) -> None:
    assert re.search(unwanted, script_of(client)) is None


def test_script_is_not_sent_again_while_it_is_the_same(client) -> None:
    first = client.get(URL)
    again = client.get(URL, HTTP_IF_NONE_MATCH=first["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    assert client.post(URL).status_code == 405
    assert client.get(URL, HTTP_HOST="evil.example").status_code == 400


def test_script_speaks_the_readers_language(client) -> None:
    def texts_of(accepted: str) -> dict[str, str]:
        found = re.search(r"TEXTS = (.*);", script_of(client, HTTP_ACCEPT_LANGUAGE=accepted))
        assert found
        texts: dict[str, str] = json.loads(found[1])
        return texts

    english, french = texts_of("en"), texts_of("fr")
    assert english == {text: text for text in english}
    assert french.keys() == english.keys()
    assert french["contradicts"] == "contredit"
    script = script_of(client)
    assert len(english) > 30
    assert script.count("phrase(") >= len(english), "each text is an argument of phrase"
