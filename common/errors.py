"""The form of the API's errors, for code that answers without Django REST framework."""

import json


def error_body(status: int, code: str, detail: str) -> bytes:
    """Return an error of the API as JSON."""
    kind = "client_error" if status < 500 else "server_error"
    return json.dumps(
        {"type": kind, "errors": [{"code": code, "detail": detail, "attr": None}]}
    ).encode()
