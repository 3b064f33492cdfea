"""The replica's HTTP server."""

import json
import re
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from tests.support.local_server import LocalServer, QuietServer
from tests.support.mushroom_observer import pages
from tests.support.mushroom_observer.api import Api
from tests.support.mushroom_observer.content import fill_world
from tests.support.mushroom_observer.manners import Manners, RateLimit, is_script
from tests.support.mushroom_observer.pictures import picture
from tests.support.mushroom_observer.world import World
from tests.support.paths import REAL_PHOTOS

_OBSERVATION = re.compile(r"/observations/(\d{1,12})(/namings/new|/namings|/suggestions)?/?")
_SHORT = re.compile(r"/(?:obs/)?(\d{1,12})/?")
_IMAGE = re.compile(r"(?:/images)?/(thumb|320|640|960|1280|orig)/(\d{1,12})\.jpg")
_IMAGE_PAGE = re.compile(r"/images/(\d{1,12})/?")


@dataclass
class Request:
    """One request, as the log keeps it."""

    at: float  # time.monotonic() when it arrived
    method: str
    path: str  # without query
    parameters: dict[str, str]
    headers: dict[str, str]
    status: int = 0  # 0 until it is answered, or where the connection was cut
    ended_at: float = field(default=0.0)

    @property
    def is_api(self) -> bool:
        return self.path.startswith("/api2/")

    @property
    def is_image(self) -> bool:
        return _IMAGE.fullmatch(self.path) is not None


class MushroomObserver(LocalServer):
    """Serves a replica of Mushroom Observer on 127.0.0.1.

        with MushroomObserver(observations=50) as site:
            site.url         # http://127.0.0.1:PORT, for CHAMPIPY_MUSHROOM_OBSERVER_URL
            site.address     # 127.0.0.1:PORT, for CHAMPIPY_FETCH_ALLOW
            site.world       # what it knows, and what changes it
            site.manners     # switches for bad manners
            site.requests    # all requests so far, with times
            site.writes      # the successful writes: (method, endpoint, parameters)

    The photos come from the folder `photos`; where there is none, they are drawn.
    """

    def __init__(
        self, *, observations: int = 50, seed: int = 1, port: int = 0, photos: Path = REAL_PHOTOS
    ) -> None:
        self.world, self.manners = World(), Manners()
        fill_world(self.world, observations=observations, seed=seed, photos=photos)
        self.requests: list[Request] = []
        self.rate_limit = RateLimit()
        server = _Server(("127.0.0.1", port), _Handler)
        server.site = self
        super().__init__(server)
        self.api = Api(self.world, self.manners, self.url)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def writes(self) -> list[tuple[str, str, dict[str, str]]]:
        return self.api.writes

    @property
    def api_requests(self) -> list[Request]:
        return [each for each in self.requests if each.is_api]

    @property
    def image_requests(self) -> list[Request]:
        return [each for each in self.requests if each.is_image]


class _Server(QuietServer):
    site: MushroomObserver


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_PATCH(self) -> None:
        self._handle("PATCH")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _handle(self, method: str) -> None:
        site, parts = self.server.site, urlsplit(self.path)
        self.close_connection = True
        values = dict(parse_qsl(parts.query, keep_blank_values=True))
        length = int(self.headers.get("Content-Length") or 0)
        if length:
            values |= _body_values(self.rfile.read(length), self.headers.get("Content-Type", ""))
        self._request = Request(
            time.monotonic(), method, parts.path, values, dict(self.headers.items())
        )
        site.requests.append(self._request)
        if site.manners.delay_s and site.closing.wait(site.manners.delay_s):
            return
        if not self._is_refused(parts.path, values):
            if parts.path.startswith("/api2/"):
                self._api(method, parts.path.removeprefix("/api2/").strip("/"), values)
            else:
                self._page(method, parts.path, values)
        self._request.ended_at = time.monotonic()

    def _is_refused(self, path: str, values: dict[str, str]) -> bool:
        """Answer as the site does before it looks at a request, and return True; else False."""
        site, is_api = self.server.site, path.startswith("/api2/")
        manners = site.manners
        pause = {"Retry-After": manners.retry_after} if manners.retry_after else {}
        if manners.in_maintenance:
            self._send(pages.maintenance_page().encode(), status=503, **pause)
        elif manners.is_blocking or (
            manners.limits_rate
            and not site.rate_limit.allows(
                self.client_address[0],
                is_api=is_api,
                has_key=site.world.user_with_key(values.get("api_key", "")) is not None,
            )
        ):
            self._send(b"Too many requests. You are blocked.", "text/plain", 429, **pause)
        elif manners.refuses_scripts and not is_api and is_script(self.headers["User-Agent"] or ""):
            self._send(b"Forbidden", "text/plain", 403)
        else:
            return False
        return True

    def _api(self, method: str, kind: str, values: dict[str, str]) -> None:
        site = self.server.site
        answer = site.api.answer(method, kind, values)
        if method != "GET" and site.manners.fails_writes_after:
            return
        if answer is None:
            self._send(b"<h1>Not found</h1>", status=404)
        elif site.manners.sends_html:
            self._send(b"<!doctype html><title>Something is odd</title><h1>Something is odd</h1>")
        else:
            cors = {"Access-Control-Allow-Origin": "*"} if method == "GET" else {}
            body = json.dumps(answer).encode()
            if method == "GET":  # before the answer is sent: the next request may come at once
                site.api.after_look(kind, answer.get("results", []))
            self._send(body, "application/json; charset=utf-8", **cors)

    def _page(self, method: str, path: str, values: dict[str, str]) -> None:
        world = self.server.site.world
        if match := _IMAGE.fullmatch(path):
            image = world.images.get(int(match[2]))
            if image is not None and method == "GET":
                return self._send(picture(image.source, match[1]), "image/jpeg")  # no CORS headers
        elif match := _IMAGE_PAGE.fullmatch(path):
            image = world.images.get(int(match[1]))
            if image is not None:
                return self._send(pages.image_page(image).encode())
        elif match := _SHORT.fullmatch(path):
            return self._send(b"", status=302, Location=f"/observations/{match[1]}")
        elif path in {"/", "/observations", "/observations/"}:
            return self._send(pages.index_page(world).encode())
        elif match := _OBSERVATION.fullmatch(path):
            return self._observation(method, int(match[1]), match[2] or "", values)
        return self._send(b"<h1>Not found</h1>", status=404)

    def _observation(self, method: str, number: int, part: str, values: dict[str, str]) -> None:
        world = self.server.site.world
        observation = world.observations.get(number)
        if observation is None:
            return self._send(b"<h1>Not found</h1>", status=404)
        if part == "/namings" and method == "POST":
            name = world.name_called(values.get("naming[name]", ""))
            if name is None:
                return self._send(b"<h1>There is no such name</h1>", status=422)
            vote = float(values.get("naming[vote][value]") or 3)
            world.propose(observation, name, world.visitor, vote)
            return self._send(b"", status=303, Location=f"/observations/{number}")
        if part == "/namings/new":
            return self._send(pages.naming_form(observation, values.get("naming", "")).encode())
        if part == "/suggestions":
            try:
                page = pages.suggestions_page(observation, values.get("names", "[]"))
            except (ValueError, TypeError):
                return self._send(b"<h1>Bad names</h1>", status=400)
            return self._send(page.encode())
        return self._send(pages.observation_page(observation).encode())

    def _send(
        self,
        data: bytes,
        kind: str = "text/html; charset=utf-8",
        status: int = 200,
        **headers: str,
    ) -> None:
        is_half = self.server.site.manners.sends_half and status == 200
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if is_half else data)
        self._request.status = status


def _body_values(body: bytes, kind: str) -> dict[str, str]:
    """Return the fields of a form or of a JSON object."""
    if kind.startswith("application/json"):
        try:
            values = json.loads(body)
        except ValueError:
            return {}
        return (
            {key: str(value) for key, value in values.items()} if isinstance(values, dict) else {}
        )
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
