"""A headless Chromium, controlled through the DevTools pipe, without a driver or a port."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-extensions", "--hide-scrollbars", "--remote-debugging-pipe"),
)
TIMEOUT = 30  # seconds
SIZE = (1200, 900)  # pixels
KEYS = {
    "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
    "Enter": 13, "Escape": 27, "Tab": 9, " ": 32,
}  # fmt: skip
FIND = """(() => {{
    const all = [...document.querySelectorAll({selector})];
    const found = all.find(each => each.checkVisibility() && each.textContent.includes({text}));
    if (!found) return null;
    found.scrollIntoView({{block: "center", behavior: "instant"}});
    const box = found.getBoundingClientRect();
    const middle = {{x: box.x + box.width / 2, y: box.y + box.height / 2}};
    return {{...middle, text: found.textContent.trim()}};
}})()"""
IGNORED_ERRORS = {"net::ERR_ABORTED"}  # the page was left during a request


def find_chromium() -> str | None:
    """Return the program in CHAMPIPY_BROWSER, else the first Chromium on PATH, else None."""
    given = os.environ.get("CHAMPIPY_BROWSER")
    return shutil.which(given) if given else next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """A Chromium with one tab. An error on a page fails the next wait or check.

    Errors are those of scripts and requests, warnings and errors in the console, and requests to
    another site than `site`. Methods with a CSS selector act on the first visible element that
    matches it and contains `text`.
    """

    def __init__(self, program: str, site: str, profile: Path) -> None:
        self.site = site
        self._errors: list[str] = []
        self._buffer = b""
        self._replies: dict[int, dict[str, Any]] = {}
        self._last_id = 0
        self._session: str | None = None
        # DevTools reads from descriptor 3 and writes to 4. Chromium's output is discarded.
        script = 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'
        self._process = subprocess.Popen(
            ["sh", "-c", script, program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._to, self._from = self._process.stdin, self._process.stdout
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")
        self.resize(*SIZE)

    def close(self) -> None:
        """End the browser with all its processes."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # its profile is deleted anyway
        self._process.wait()

    def check(self) -> None:
        """Fail if a page has had errors since the last check."""
        errors, self._errors = self._errors, []
        assert errors == [], errors

    def resize(self, width: int, height: int) -> None:
        """Set the size of the page in pixels."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def prefer(self, theme: str) -> None:
        """Set the preferred colour scheme, `light` or `dark`."""
        feature = {"name": "prefers-color-scheme", "value": theme}
        self._call("Emulation.setEmulatedMedia", features=[feature])

    def open(self, path: str) -> None:
        """Open a page of the site and wait until it is loaded."""
        self._call("Page.navigate", url=self.site + path)
        self.wait("true", path)

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression; wait for it if it is a promise."""
        answer = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str, what: str = "", seconds: float = TIMEOUT) -> Any:
        """Wait until the page is loaded and a JavaScript condition is true; return its value.

        Fail after `seconds`; the message names `what` and shows the text of the page.
        """
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            try:
                value = self.evaluate(f"document.readyState == 'complete' && ({condition})")
            except LookupError:  # the next page is being loaded
                value = None
            if value:
                self.check()
                return value
            shown = "document.body ? document.body.innerText : ''"
            assert time.monotonic() < deadline, (
                f"waited for {what or condition} in:\n{self.evaluate(shown)}"
            )
            time.sleep(0.1)

    def find(self, selector: str, text: str = "", seconds: float = TIMEOUT) -> dict[str, Any]:
        """Wait for an element and scroll to it; return its centre ("x", "y") and its "text"."""
        return self.wait(
            FIND.format(selector=json.dumps(selector), text=json.dumps(text)),
            f"{selector} {text}".strip(),
            seconds,
        )

    def click(self, selector: str, text: str = "") -> None:
        """Click an element with the mouse."""
        found = self.find(selector, text)
        at = {"x": found["x"], "y": found["y"]}
        self._call("Input.dispatchMouseEvent", type="mouseMoved", **at)
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def fill(self, selector: str, text: str) -> None:
        """Click a field and replace its content."""
        self.click(selector)
        self.evaluate("document.activeElement.select()")
        self._call("Input.insertText", text=text)

    def press(self, key: str, shift: bool = False) -> None:
        """Press and release a key: a character, or a name such as ArrowDown or Enter."""
        code = KEYS.get(key) or ord(key.upper())
        event: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
        event["modifiers"] = 8 if shift else 0
        if len(key) == 1 or key == "Enter":
            event["text"] = "\r" if key == "Enter" else key
        self._call("Input.dispatchKeyEvent", type="keyDown", **event)
        self._call("Input.dispatchKeyEvent", type="keyUp", **event)

    def screenshot(self, height: int) -> bytes:
        """Return a PNG of the top `height` pixels of the page, once all photos are loaded."""
        self.resize(SIZE[0], height)
        self.evaluate("scrollTo(0, 0)")
        shown = f"[...document.images].filter(each => each.getBoundingClientRect().y < {height})"
        self.wait(f"{shown}.every(each => each.complete && each.naturalWidth)", "photos")
        answer = self._call("Page.captureScreenshot")
        self.resize(*SIZE)
        return base64.b64decode(answer["data"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; raise LookupError if it fails.

        A command fails, for example, if the page has been left meanwhile.
        """
        number = self._send(method, **parameters)
        deadline = time.monotonic() + TIMEOUT
        while number not in self._replies:
            self._receive(deadline)
        reply = self._replies.pop(number)
        if "error" in reply:
            raise LookupError(f"{method}: {reply['error']['message']}")
        return reply["result"]

    def _send(self, method: str, **parameters: Any) -> int:
        """Send a command and return its number, with which the reply comes."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        return self._last_id

    def _receive(self, deadline: float) -> None:
        """Read messages from Chromium, and keep the replies and the errors."""
        left = max(0, deadline - time.monotonic())
        assert select.select([self._from], [], [], left)[0], "Chromium does not answer"
        data = os.read(self._from.fileno(), 1 << 20)
        assert data, "Chromium has ended"
        *messages, self._buffer = (self._buffer + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._replies[message["id"]] = message
            else:
                self._take_event(message["method"], message["params"])

    def _take_event(self, event: str, details: dict[str, Any]) -> None:
        self._record_error(event, details)

    def _record_error(self, event: str, details: dict[str, Any]) -> None:
        """Record the error that a DevTools event reports, if it reports one."""
        match event:
            case "Runtime.exceptionThrown":
                self._errors.append(f"script: {details['exceptionDetails']}")
            case "Runtime.consoleAPICalled" if details["type"] in {"error", "warning"}:
                self._errors.append(f"console: {details['args']}")
            case "Log.entryAdded" if details["entry"]["level"] == "error":
                entry = details["entry"]
                self._errors.append(f"log: {entry['text']} {entry.get('url', '')}")
            case "Network.responseReceived" if details["response"]["status"] >= 400:
                response = details["response"]
                self._errors.append(f"response: {response['status']} {response['url']}")
            case "Network.loadingFailed" if details["errorText"] not in IGNORED_ERRORS:
                self._errors.append(f"request: {details['errorText']}")
            case "Network.requestWillBeSent":
                url = details["request"]["url"]
                if not url.startswith((self.site, "data:", "about:", "blob:")):
                    self._errors.append(f"request to another site: {url}")
