"""A headless Chromium, driven over DevTools' own pipe: no driver to install, no port to open."""

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
PATIENCE = 30  # seconds
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
HARMLESS = {"net::ERR_ABORTED"}  # a page was left while it still asked for something


def find_chromium() -> str | None:
    """Return the program CHAMPIPY_BROWSER names, else the first Chromium on PATH, else None."""
    given = os.environ.get("CHAMPIPY_BROWSER")
    return shutil.which(given) if given else next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One tab. What a page complains of (console, scripts, requests) fails the next wait.

    Requests to anywhere but `site` are complaints too. Selectors are CSS; the first element that
    is shown and, where `text` is given, contains it, is meant.
    """

    def __init__(self, program: str, site: str, profile: Path) -> None:
        self.site = site
        self._complaints: list[str] = []
        self._buffer = b""
        self._replies: dict[int, dict[str, Any]] = {}
        self._last_id = 0
        self._session: str | None = None
        # DevTools reads from 3 and writes to 4; nobody listens to what Chromium prints.
        moved = 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'
        self._process = subprocess.Popen(
            ["sh", "-c", moved, program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
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
            os.killpg(self._process.pid, signal.SIGKILL)  # its profile is thrown away
        self._process.wait()

    def check(self) -> None:
        """Fail where a page has complained since the last time."""
        complaints, self._complaints = self._complaints, []
        assert complaints == [], complaints

    def resize(self, width: int, height: int) -> None:
        """Make the page so many pixels wide and high."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def prefer(self, theme: str) -> None:
        """Say that the user likes pages `light` or `dark`."""
        feature = {"name": "prefers-color-scheme", "value": theme}
        self._call("Emulation.setEmulatedMedia", features=[feature])

    def open(self, path: str) -> None:
        """Go to a page of the site and wait until it is loaded."""
        self._call("Page.navigate", url=self.site + path)
        self.wait("true", path)

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression, or of the promise that it makes."""
        answer = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str, what: str = "", seconds: float = PATIENCE) -> Any:
        """Return a JavaScript expression's value once the page is loaded and the value is true."""
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            try:
                value = self.evaluate(f"document.readyState == 'complete' && ({condition})")
            except LookupError:  # it is between two pages
                value = None
            if value:
                self.check()
                return value
            shown = "document.body ? document.body.innerText : ''"
            assert time.monotonic() < deadline, (
                f"waited for {what or condition} in:\n{self.evaluate(shown)}"
            )
            time.sleep(0.1)

    def find(self, selector: str, text: str = "", seconds: float = PATIENCE) -> dict[str, Any]:
        """Wait for an element, bring it into view; return its middle {"x", "y"} and its text."""
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
        """Click a field and type over what it has."""
        self.click(selector)
        self.evaluate("document.activeElement.select()")
        self._call("Input.insertText", text=text)

    def press(self, key: str, shift: bool = False) -> None:
        """Press and let go of a key: a character, or a name such as ArrowDown or Enter."""
        code = KEYS.get(key) or ord(key.upper())
        event: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
        event["modifiers"] = 8 if shift else 0
        if len(key) == 1 or key == "Enter":
            event["text"] = "\r" if key == "Enter" else key
        self._call("Input.dispatchKeyEvent", type="keyDown", **event)
        self._call("Input.dispatchKeyEvent", type="keyUp", **event)

    def picture(self, height: int) -> bytes:
        """Return a PNG of the page's first `height` pixels, photos that load late among them."""
        self.resize(SIZE[0], height)
        self.evaluate("scrollTo(0, 0)")
        shown = f"[...document.images].filter(each => each.getBoundingClientRect().y < {height})"
        self.wait(f"{shown}.every(each => each.complete && each.naturalWidth)", "photos")
        answer = self._call("Page.captureScreenshot")
        self.resize(*SIZE)
        return base64.b64decode(answer["data"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; LookupError where the page is gone meanwhile."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while self._last_id not in self._replies:
            self._receive(deadline)
        reply = self._replies.pop(self._last_id)
        if "error" in reply:
            raise LookupError(f"{method}: {reply['error']['message']}")
        return reply["result"]

    def _receive(self, deadline: float) -> None:
        left = max(0, deadline - time.monotonic())
        assert select.select([self._from], [], [], left)[0], "Chromium does not answer"
        data = os.read(self._from.fileno(), 1 << 20)
        assert data, "Chromium has ended"
        *messages, self._buffer = (self._buffer + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._replies[message["id"]] = message
            else:
                self._notice(message["method"], message["params"])

    def _notice(self, event: str, about: dict[str, Any]) -> None:
        """Keep what a page complains of."""
        match event:
            case "Runtime.exceptionThrown":
                self._complaints.append(f"script: {about['exceptionDetails']}")
            case "Runtime.consoleAPICalled" if about["type"] in {"error", "warning"}:
                self._complaints.append(f"console: {about['args']}")
            case "Log.entryAdded" if about["entry"]["level"] == "error":
                entry = about["entry"]
                self._complaints.append(f"log: {entry['text']} {entry.get('url', '')}")
            case "Network.responseReceived" if about["response"]["status"] >= 400:
                response = about["response"]
                self._complaints.append(f"answer: {response['status']} {response['url']}")
            case "Network.loadingFailed" if about["errorText"] not in HARMLESS:
                self._complaints.append(f"request: {about['errorText']}")
            case "Network.requestWillBeSent":
                url = about["request"]["url"]
                if not url.startswith((self.site, "data:", "about:", "blob:")):
                    self._complaints.append(f"request to another site: {url}")
