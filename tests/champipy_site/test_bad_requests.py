"""Tests that what a client sends wrongly is a 4xx in the API's shape, and never a 500.

The WSGI application is called as the web server does it: Django's test client makes requests of
its own, and would skip what happens before.
"""

import io
import json
import re
import sys
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from knox.models import get_token_model

from accounts.models import User
from champipy_site.wsgi import application
from predictions.models import Prediction
from tests.support.photos import drawn_photo

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("open_connection")]

STATUS, TOKEN, PREDICTIONS = "/api/v1/status", "/api/v1/token", "/api/v1/predictions"


class Answer:
    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body = int(status.split(maxsplit=1)[0]), dict(headers), body


def call(
    method: str, path: str, body: bytes = b"", content_type: str = "", **headers: str
) -> Answer:
    """Call the WSGI application and return its answer."""
    raw_path, _, query = path.partition("?")
    environ = {
        **{"REQUEST_METHOD": method, "QUERY_STRING": query, "SCRIPT_NAME": ""},
        "PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1"),
        **{"SERVER_NAME": "localhost", "SERVER_PORT": "80", "HTTP_HOST": "localhost"},
        **{"REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1"},
        **{"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))},
        **{"wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http"},
        **{"wsgi.version": (1, 0), "wsgi.multithread": True, "wsgi.multiprocess": False},
        **{"wsgi.run_once": False, **headers},
    }
    started: list = []
    chunks = application(environ, lambda status, headers, *_: started.extend([status, headers]))
    content = b"".join(chunks)
    if close := getattr(chunks, "close", None):
        close()
    status, answer_headers = started
    return Answer(status, answer_headers, content)


@pytest.fixture
def as_alice(users: dict[str, User]) -> Callable[..., Answer]:
    """Return a function that calls the application with alice's token."""
    _, token = get_token_model().objects.create(user=users["alice"])
    return lambda *arguments: call(*arguments, HTTP_AUTHORIZATION=f"Token {token}")


def assert_error(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status, answer.body
    content = json.loads(answer.body)
    assert content["type"] == "client_error"
    assert [error["code"] for error in content["errors"]] == [code]
    assert answer.headers["Content-Type"].startswith("application/json")


def multipart(*parts: tuple[str, bytes]) -> tuple[bytes, str]:
    """Return a form's body and Content-Type."""
    body = b"".join(
        f"--b\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode() + value + b"\r\n"
        for name, value in parts
    )
    return body + b"--b--\r\n", "multipart/form-data; boundary=b"


JSON = "application/json"
MANY_PARAMETERS = "&".join(f"a{number}=1" for number in range(60))
BAD_CHARSETS = [
    *("application/json; charset*=BLAH''x%ff", "application/json; charset*=utf-8''%ff"),
    *(f"text/plain; charset={name}" for name in ("rot13", "zlib", "idna", "punycode", "undefined")),
    *(
        "application/json; charset=nonsense",
        "application/json; charset=\0",
        "a; charset=" + "x" * 999,
    ),
]


@pytest.mark.parametrize("path", [STATUS, TOKEN, PREDICTIONS, "/api/v1/nonsense"])
def test_too_many_query_parameters_are_a_400(path: str, as_alice) -> None:
    for method in ("GET", "POST", "HEAD"):
        answer = as_alice(method, f"{path}?{MANY_PARAMETERS}")
        assert answer.status < 500
    assert_error(as_alice("GET", f"{PREDICTIONS}?{MANY_PARAMETERS}"), 400, "parse_error")


@pytest.mark.parametrize("content_type", BAD_CHARSETS)
@pytest.mark.parametrize(("method", "path"), [("POST", TOKEN), ("GET", f"{STATUS}?x=%ff")])
def test_unreadable_charset_is_a_400(method: str, path: str, content_type: str) -> None:
    assert_error(call(method, path, b"{}", content_type), 400, "parse_error")


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "us-ascii", "iso-8859-1", '"utf-8"'])
def test_readable_charset_is_read(charset: str, users) -> None:
    body = json.dumps({"username": "alice", "password": "wonderland"}).encode()
    assert call("POST", TOKEN, body, f"{JSON}; charset={charset}").status == 200


@pytest.mark.parametrize(
    "body", [b"[" * 3000, b'{"a":' * 3000, b"[" * 900_000, b"\xff\xfe", b"1" * 9000, b"NaN"]
)
@pytest.mark.parametrize("path", [TOKEN, PREDICTIONS])
def test_json_that_python_cannot_read_is_a_400(path: str, body: bytes, as_alice) -> None:
    assert_error(as_alice("POST", path, body, JSON), 400, "parse_error")


@pytest.mark.parametrize("path", [TOKEN, PREDICTIONS])
def test_json_over_1_mb_is_a_413(path: str, as_alice) -> None:
    body = json.dumps({"file": "x" * 1_000_000}).encode()
    assert_error(as_alice("POST", path, body, JSON), 413, "request_too_large")


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        (multipart(*((f'name="a{number}"', b"1") for number in range(60))), 400, "parse_error"),
        (multipart(('name="file"', b"x" * 1_100_000)), 413, "request_too_large"),
        (
            multipart(*((f'name="file{n}"; filename="a.jpg"', drawn_photo(1)) for n in range(13))),
            400,
            "parse_error",
        ),
        ((MANY_PARAMETERS.encode(), "application/x-www-form-urlencoded"), 400, "parse_error"),
        ((b"--b", "multipart/form-data; boundary=\xff"), 400, "parse_error"),
        ((b"--b", "multipart/form-data"), 400, "parse_error"),
    ],
    ids=["fields", "size", "files", "urlencoded", "boundary", "no-boundary"],
)
def test_form_beyond_the_limits_is_refused(form, status: int, code: str, as_alice) -> None:
    assert_error(as_alice("POST", PREDICTIONS, *form), status, code)
    assert Prediction.objects.count() == 0


@pytest.mark.parametrize("path", ["/api/v1/status%0A", "/api/v1/x%0Ay", "/api/v1/predictions/1%0A"])
def test_newline_in_a_path_is_a_404(path: str, as_alice) -> None:
    assert_error(as_alice("GET", path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        (
            "GET",
            f"{PREDICTIONS}?pge=2",
            "Unknown query parameters: 'pge'. Known here: created_after, cursor, in_scope, "
            "min_score, page, page_size, species, status.",
        ),
        ("HEAD", f"{PREDICTIONS}?pge=2", ""),
        ("POST", f"{PREDICTIONS}?page=2", "Unknown query parameters: 'page'. Known here: none."),
        ("GET", f"{PREDICTIONS}/1?x", "Unknown query parameters: 'x'. Known here: none."),
        ("GET", f"{STATUS}?b=1&a=2", "Unknown query parameters: 'a', 'b'. Known here: none."),
    ],
)
def test_unknown_query_parameter_is_a_400(method, path, message, as_alice) -> None:
    answer = as_alice(method, path)
    if message:
        assert_error(answer, 400, "parse_error")
        assert json.loads(answer.body)["errors"][0]["detail"] == message
    assert answer.status == 400


@pytest.mark.parametrize(
    ("page", "status"),
    [
        *(("1", 200), ("01", 200), ("2", 404), ("0", 404), ("last", 400), ("", 400), ("1.0", 400)),
        *(("%EF%BC%91", 400), ("%201", 400), ("1_0", 400), ("-1", 400), ("9" * 5000, 400)),
    ],
)
def test_page_is_a_whole_number(page: str, status: int, as_alice) -> None:
    answer = as_alice("GET", f"{PREDICTIONS}?page={page}")
    assert answer.status == status, answer.body
    if status == 400:
        [error] = json.loads(answer.body)["errors"]
        assert (error["code"], error["attr"]) == ("invalid", "page")


def test_nul_in_a_query_is_a_400() -> None:
    assert_error(call("GET", f"{STATUS}?a=%00"), 400, "parse_error")


@pytest.mark.parametrize(
    "path",
    [
        *("predictions/photo/?split=%00", "predictions/photo/?label_source=%00"),
        *(
            "predictions/photo/?q=%00",
            "predictions/photo/?review=%00",
            "predictions/photo/?species=%00",
        ),
        *("predictions/photo/?label_source__exact=%00", "predictions/photo/?a%00=1"),
        *("predictions/prediction/?status__exact=%00", "accounts/user/?username=%00"),
        "django_celery_beat/periodictask/%00/change/",
    ],
)
def test_nul_in_an_admins_address_is_a_404(path: str, client: Client, users) -> None:
    client.raise_request_exception = False
    client.force_login(users["bob"])
    assert client.get(f"/admin/{path}").status_code == 404


@pytest.mark.parametrize(
    "path", [STATUS, "/api/v1/docs", "/api/v1/schema", "/admin/login/", "/api/v1/nonsense", "/x"]
)
def test_head_is_a_get_without_a_body(path: str) -> None:
    get, head = call("GET", path), call("HEAD", path)
    assert (head.status, head.body) == (get.status, b"")
    # The login page has a new token in each answer, of the same length.
    assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.body))


@pytest.mark.parametrize(
    "path", [STATUS, "/api/v1/docs", "/admin/login/", "/api/v1/nonsense", "/x"]
)
def test_each_answer_has_security_headers(path: str) -> None:
    headers = call("GET", path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "script-src" not in policy  # so the default holds: no inline scripts, no other sites
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_admin_allows_no_inline_styles_and_has_none(client: Client, users) -> None:
    client.force_login(users["bob"])
    lists = [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
    ]
    alice = reverse("admin:accounts_user_change", args=[users["alice"].pk])
    for path in ("/admin/", *lists, alice, "/admin/accounts/user/add/", "/admin/password_change/"):
        response = client.get(path, follow=True)
        assert response.status_code == 200
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        page = response.content.decode()
        assert not re.search(r"<style| style=|<[^>]+ on[a-z]+=", page), path


def test_pages_have_no_inline_scripts(client: Client, users) -> None:
    client.force_login(users["bob"])
    for path in ("/api/v1/docs", "/admin/", "/admin/predictions/photo/"):
        page = client.get(path).content.decode()
        for tag in page.split("<script")[1:]:
            attributes, _, content = tag.partition(">")
            is_data = 'type="application/json"' in attributes
            assert is_data or ("src=" in attributes and content.startswith("</script>")), tag[:200]
