"""Asks the running web process for predictions, with a token of this home."""

import json
import os
import secrets
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common.home import PROJECT, TERMINAL_TOKEN
from predictions.terminal.output import Failure
from predictions.terminal.photos import Photo

API = "/api/v1"
TIMEOUT_S = 60
MAX_WAIT_S = 600
"""For one photo, while the workers are busy."""
OF_PHOTO = {413, 422, 500, 502, 504}
"""Statuses that say something about the photo; 401 and the others are the service's."""


class WrongRequest(Exception):  # noqa: N818 - a condition to report, not a fault
    """The API refuses the arguments (400); the message is the API's."""


class Client:
    """Predictions by the web process at an address; may be used by several threads.

    `home` is CHAMPIPY_HOME: a token is kept there, in a file that only its owner can read.
    """

    def __init__(self, home: Path, address: str) -> None:
        self.token_file = home / TERMINAL_TOKEN
        parts = urlsplit(address)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.token = self._read_token()

    def _read_token(self) -> str:
        return self.token_file.read_text().strip() if self.token_file.exists() else ""

    def is_up(self) -> bool:
        """Return whether ChampiPy answers there."""
        try:
            status, body = self._send("GET", "/status", timeout_s=2)
        except (OSError, HTTPException):
            return False
        return status == 200 and body.get("status") == "ok"

    def predict(
        self, photo: Photo, *, nb_preds: int, proposed: str | None
    ) -> dict[str, Any] | Failure:
        """Return the prediction of a photo as the API gives it, or why there is none.

        Raises WrongRequest if an argument is wrong.
        """
        fields = {"nb_preds": nb_preds} | ({"proposed": proposed} if proposed is not None else {})
        try:
            if photo.is_url:
                body = json.dumps({"file": photo.given, **fields}).encode()
                content_type = "application/json"
            else:
                body, content_type = _form(photo, fields)
        except OSError as error:
            return Failure("unreadable", f"It cannot be read: {error.strerror}.")
        try:
            return self._answer(body, content_type)
        except (OSError, HTTPException) as error:
            return Failure("unreachable", f"ChampiPy does not answer: {error}.", is_of_service=True)

    def _answer(self, body: bytes, content_type: str) -> dict[str, Any] | Failure:
        headers = {"Content-Type": content_type, "Prefer": "wait=30"}
        status, answer = self._send("POST", "/predictions", body, headers)
        if status == 401:
            self._renew_token()
            status, answer = self._send("POST", "/predictions", body, headers)
        deadline = time.monotonic() + MAX_WAIT_S
        while status in (200, 202) and answer["status"] == "pending":
            if time.monotonic() > deadline:
                return Failure(
                    "pending", f"No answer after {MAX_WAIT_S} s. See ./champipy status.", True
                )
            time.sleep(0.5)
            status, answer = self._send("GET", f"/predictions/{answer['id']}")
        if status == 200 and answer["status"] == "done":
            return answer
        error = answer["error"] if status == 200 else answer["errors"][0]
        if status == 400:
            raise WrongRequest(f"{error['attr'] or 'request'}: {error['detail']}")
        return Failure(error["code"], error["detail"], status not in (200, *OF_PHOTO))

    def _renew_token(self) -> None:
        """Have manage.py write a new token, for which it needs a second, and read it."""
        command = [sys.executable, "-P", "-m", "champipy_site.stack", "terminal_token"]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )  # fmt: skip
        if done.returncode != 0:
            raise HTTPException(f"no token could be made: {done.stderr.strip()[-500:]}")
        self.token = self._read_token()

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of an answer. Raises OSError or HTTPException."""
        connection = HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            authorization = {"Authorization": f"Token {self.token}"} if self.token else {}
            connection.request(method, API + path, body, {**(headers or {}), **authorization})
            response: HTTPResponse = connection.getresponse()
            return response.status, json.loads(response.read())
        except ValueError as error:
            raise HTTPException("the answer is not JSON") from error
        finally:
            connection.close()


def _form(photo: Photo, fields: dict[str, Any]) -> tuple[bytes, str]:
    """Return a multipart form with the photo, and its content type. Raises OSError."""
    boundary = secrets.token_hex(16)
    name = photo.name.replace("\\", "_").replace('"', "%22").replace("\r", " ").replace("\n", " ")
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode(
            errors="replace"
        )
        for key, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    head += "Content-Type: application/octet-stream\r\n\r\n"
    parts += [head.encode(errors="replace"), photo.read(), f"\r\n--{boundary}--\r\n".encode()]
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"
