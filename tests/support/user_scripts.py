"""Runs a user script in Chromium as a user script manager does.

Chromium has no manager here, so this is a small one: the script runs in a world of its own beside
the page, its storage and its requests are outside of the browser.
"""

import json
from typing import Any

import requests
from playwright.sync_api import Page

WORLD = "user script"
BINDING = "manager"
SHIM = """
const waiting = new Map();
let last = 0;
const call = (kind, details) => new Promise((resolve) => {
  waiting.set(++last, resolve);
  manager(JSON.stringify({kind, number: last, details}));
});
globalThis.answered = (number, value) => { waiting.get(number)(value); waiting.delete(number); };
const managed = {
  getValue: (key, otherwise) => call("get", {key}).then((value) => value ?? otherwise),
  setValue: (key, value) => call("set", {key, value}),
  deleteValue: (key) => call("delete", {key}),
  xmlHttpRequest: (details) => call("request", details).then((response) => {
    response ? details.onload(response) : details.onerror({});
  }),
};
"""
PROMISES = "globalThis.GM = managed;"
FUNCTIONS = """
const stored = new Map(Object.entries(STORED));
globalThis.GM_getValue = (key, otherwise) => stored.get(key) ?? otherwise;
globalThis.GM_setValue = (key, value) => { stored.set(key, value); managed.setValue(key, value); };
globalThis.GM_deleteValue = (key) => { stored.delete(key); managed.deleteValue(key); };
globalThis.GM_xmlhttpRequest = (details) => { managed.xmlHttpRequest(details); };
"""


class UserScriptManager:
    """Runs one user script in a page.

    `stored` is what the script keeps; `answers` are what the person types when the script asks, in
    turn; `sent` are the requests of the script: (method, URL). `with_promises` says whether it gets
    the functions of `GM` (Greasemonkey 4), or the older ones called GM_*.
    """

    def __init__(self, page: Page, *, script: str, with_promises: bool = True) -> None:
        self.stored: dict[str, str] = {}
        self.answers: list[str] = []
        self.sent: list[tuple[str, str]] = []
        api = PROMISES if with_promises else FUNCTIONS.replace("STORED", json.dumps(self.stored))
        # Managers wait for the document; here the world is made before there is one.
        whole = f"{SHIM}{api}addEventListener('DOMContentLoaded', () => {{\n{script}\n}});"
        # Playwright's own functions know no worlds beside the page's; DevTools' do.
        self._devtools = page.context.new_cdp_session(page)
        self._devtools.on("Runtime.bindingCalled", self._serve)
        self._devtools.send("Runtime.enable")
        self._devtools.send("Page.enable")
        self._devtools.send("Runtime.addBinding", {"name": BINDING, "executionContextName": WORLD})
        self._devtools.send(
            "Page.addScriptToEvaluateOnNewDocument",
            {"source": f"(() => {{{whole}}})()", "worldName": WORLD},
        )
        page.on("dialog", lambda dialog: dialog.accept(self.answers.pop(0)))

    def _serve(self, event: dict[str, Any]) -> None:
        """Do what the script wants of its manager, and tell it the result."""
        call = json.loads(event["payload"])
        details = call["details"]
        value: Any = None
        match call["kind"]:
            case "get":
                value = self.stored.get(details["key"])
            case "set":
                self.stored[details["key"]] = details["value"]
            case "delete":
                self.stored.pop(details["key"], None)
            case "request":
                value = self._request(details)
        answered = f"answered({call['number']}, {json.dumps(value)})"
        self._devtools.send(
            "Runtime.evaluate",
            {"expression": answered, "contextId": event["executionContextId"]},
        )

    def _request(self, details: dict[str, Any]) -> dict[str, Any] | None:
        self.sent.append((details["method"], details["url"]))
        try:
            response = requests.request(
                details["method"],
                details["url"],
                headers=details["headers"],
                data=details.get("data"),
                allow_redirects=False,
                timeout=60,
            )
        except requests.RequestException:
            return None
        headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        return {
            "status": response.status_code,
            "responseText": response.text,
            "responseHeaders": headers,
        }
