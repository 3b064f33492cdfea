"""The first page: what its form asks, once, within limits, and how that is shown."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from accounts.api.throttling import PredictionThrottle
from accounts.models import IdempotencyKey, User
from common.uploads import MAX_BODY_BYTES, MAX_OBSERVATION_BYTES, max_body_bytes
from observations import services
from observations.models import Observation
from observations.pages.questions import MAX_LINES
from predictions import quotas
from predictions.models import Prediction
from tests.support.observations import finished
from tests.support.pages import HTMX, browser_of, submit
from tests.support.photos import drawn_photo

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("production", "lost_messages"),
]
URL = "https://photos.example.com/{}.jpg"
KEY = "0123456789abcdef"


@pytest.fixture
def client(users: dict[str, User]) -> Client:
    return browser_of(users["alice"])


def photos(*seeds: int) -> list[SimpleUploadedFile]:
    return [SimpleUploadedFile(f"{seed}.jpg", drawn_photo(seed), "image/jpeg") for seed in seeds]


def finds() -> list[Observation]:
    return list(Observation.objects.order_by("pk"))


def test_each_photo_and_each_line_becomes_a_find(client: Client) -> None:
    lines = (
        f"{URL.format(1)}\r\n\r\n 500017 \r\n{URL.format(2)}\r\nhttps://mushroomobserver.org/obs/7"
    )
    done = submit(client, "/ask", {"photo": photos(1, 2), "lines": lines, "proposed": ["A b", ""]})
    assert (done.status_code, done.headers["Location"]) == (302, "/")
    assert [each.mushroom_observer_id for each in finds()] == [500017, 7, None, None, None, None]
    sent = [[photo.prediction.file for photo in each.photos.all()] for each in finds()]
    assert sent == [[], [], ["1.jpg"], ["2.jpg"], [URL.format(1)], [URL.format(2)]]
    names = [[name.name for name in each.names.all()] for each in finds()]
    assert names == [[], [], ["A b"], ["A b"], ["A b"], ["A b"]]
    page = client.get("/").text
    for each in finds():
        assert f'id="find-{each.pk}"' in page


def test_together_they_are_one_find_and_answers_appear(client: Client) -> None:
    fields = {"photo": photos(1, 2), "together": "1", "proposed": ["Amanita muscaria"]}
    card = submit(client, "/ask", fields, **HTMX).text
    [find] = finds()
    assert find.photos.count() == 2
    assert f'hx-get="/finds/{find.pk}/card?polls=1"' in card and "<html" not in card
    again = client.get(f"/finds/{find.pk}/card?polls=1").text
    assert f'hx-get="/finds/{find.pk}/card?polls=2"' in again and "Looking at 2 photos" in again
    assert (
        'hx-get="/finds' not in client.get(f"/finds/{find.pk}/card?polls=40").text.split("<h3")[0]
    )
    finished()
    done = client.get(f"/finds/{find.pk}/card?polls=2").text
    assert 'data-status="done"' in done and "?polls=" not in done
    assert "Looks like" in done and '<i lang="la">Amanita muscaria</i>' in done
    assert done.count("/thumbnail") == 2


def test_a_form_that_is_sent_twice_asks_once(client: Client) -> None:
    for _ in range(2):
        fields = {"photo": photos(1), "lines": "500017\n" + URL.format(1), "key": KEY}
        assert submit(client, "/ask", fields).status_code == 302
    assert len(finds()) == 3
    assert Prediction.objects.count() == 2
    assert IdempotencyKey.objects.count() == 1
    submit(client, "/ask", {"photo": photos(2), "lines": URL.format(1), "key": KEY})
    assert len(finds()) == 5, "the form was changed before it was sent again"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "Choose photos"),
        ({"lines": "<b>photo</b>"}, "“&lt;b&gt;photo&lt;/b&gt;” is neither the address"),
        ({"lines": "ftp://example.org/a.jpg"}, "neither the address"),
        ({"lines": "\n".join(map(str, range(1, MAX_LINES + 2)))}, "at most 100 lines"),
        (
            {"lines": "\n".join(map(URL.format, range(13))), "together": "1"},
            "A find has at most 12 photos; these are 13.",
        ),
    ],
)
def test_what_cannot_be_asked_is_told_and_kept_in_the_form(
    client: Client, fields: dict, problem: str
) -> None:
    page = submit(client, "/ask", fields)
    assert page.status_code == 422
    assert problem in page.text
    assert finds() == []
    if fields.get("together"):
        assert fields["lines"].splitlines()[0] in page.text and "checked" in page.text
    piece = submit(client, "/ask", fields, **HTMX)
    assert (piece.status_code, problem in piece.text) == (422, True)


def test_the_rest_is_asked_without_what_is_wrong(client: Client) -> None:
    fields = {"lines": f"what is this?\n{URL.format(1)}", "proposed": ["Coprinus comatus", "<>"]}
    assert submit(client, "/ask", fields).status_code == 302
    [find] = finds()
    assert [name.name for name in find.names.all()] == ["Coprinus comatus"]
    page = client.get("/").text
    assert "“what is this?” is neither" in page and "“&lt;&gt;” was left out" in page


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.jpg",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/a.jpg",
        "https://alice:wonderland@example.org/a.jpg",
        "http://" + "a" * 5000 + ".example.org/",
    ],
)
def test_addresses_that_may_not_be_fetched_are_refused_in_a_sentence(
    client: Client, url: str
) -> None:
    card = submit(client, "/ask", {"lines": url}, **HTMX)
    assert card.status_code == 200
    [find] = finds()
    assert (find.status, find.error_code) == ("failed", "url_forbidden")
    assert (
        'role="alert"' in card.text and find.error_detail.split(".")[0].split("'")[0] in card.text
    )


def test_what_is_no_photo_is_told(client: Client) -> None:
    files = [SimpleUploadedFile("<img>.jpg", b"<script>alert(1)</script>", "image/jpeg")]
    submit(client, "/ask", {"photo": files})
    finished()
    page = client.get("/").text
    assert "not a photo" in page and "alert(1)" not in page


def test_a_photo_over_10_mb_is_told(client: Client) -> None:
    files = [SimpleUploadedFile("a.jpg", b"x" * 10_000_001, "image/jpeg")]
    card = submit(client, "/ask", {"photo": files}, **HTMX)
    assert "over 10 MB" in card.text


def test_more_than_a_form_may_have_is_refused(client: Client) -> None:
    small = [SimpleUploadedFile(f"{n}.jpg", b"x", "image/jpeg") for n in range(13)]
    many = submit(client, "/ask", {"photo": small})
    assert (many.status_code, "at most 12 photos" in many.text) == (413, True)
    huge = client.post("/ask", CONTENT_LENGTH=MAX_OBSERVATION_BYTES + 1, HTTP_HX_REQUEST="true")
    assert (huge.status_code, "60 MB" in huge.text) == (413, True)
    text = submit(client, "/ask", {"lines": "9" * 1_100_000})
    assert (text.status_code, "too long" in text.text) == (413, True)
    assert finds() == []


def test_only_this_form_and_the_api_may_send_so_much() -> None:
    assert max_body_bytes("POST", reverse("ask")) == MAX_OBSERVATION_BYTES
    for method, path in (("PUT", "/ask"), ("POST", "/ask/"), ("POST", "/"), ("POST", "/queue")):
        assert max_body_bytes(method, path) == MAX_BODY_BYTES


def test_forms_of_other_sites_and_strangers_ask_nothing(client: Client) -> None:
    forged = client.post("/ask", {"lines": URL.format(1)})
    assert (forged.status_code, "The form was out of date" in forged.text) == (403, True)
    assert "unsafe" not in forged.headers["Content-Security-Policy"]
    stranger = Client().post("/ask", {"lines": URL.format(1)})
    assert stranger.headers["Location"] == "/login?next=/ask"
    assert client.get("/ask").headers["Location"] == "/"
    assert finds() == []


def test_the_rate_limit_and_the_quota_of_the_api_hold(
    client: Client, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PredictionThrottle, "THROTTLE_RATES", {"predictions": "3/min"})
    over = submit(client, "/ask", {"lines": "\n".join(map(URL.format, range(4)))}, **HTMX)
    assert (over.status_code, over.headers["Retry-After"].isdecimal()) == (429, True)
    assert finds() == []
    monkeypatch.undo()
    settings.CHAMPIPY_DAILY_PREDICTIONS = 2
    some = submit(client, "/ask", {"lines": "\n".join(map(URL.format, range(4)))}, **HTMX)
    assert (some.status_code, "2 of 4 were not accepted" in some.text) == (200, True)
    none = submit(client, "/ask", {"lines": URL.format(9)}, **HTMX)
    assert none.status_code == 429
    assert 0 < int(none.headers["Retry-After"]) <= quotas.DAY_S + 1
    assert len(finds()) == 2


def test_nothing_is_left_if_the_process_dies(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def dying(**more):
        calls.append(more)
        if len(calls) == 2:
            raise RuntimeError
        return services.observation_create(**more)

    monkeypatch.setattr("observations.pages.ask.observation_create", dying)
    with pytest.raises(RuntimeError):
        submit(client, "/ask", {"photo": photos(1, 2), "key": KEY})
    assert finds() == [] and IdempotencyKey.objects.count() == 0


def test_a_page_of_cards_takes_few_queries(client: Client, django_assert_max_num_queries) -> None:
    submit(client, "/ask", {"photo": photos(1, 2), "together": "1", "proposed": ["Amanita"]})
    finished()
    for number in range(13):
        fields = {"photo": photos(1, 2), "together": "1", "proposed": ["Amanita", f"B c{number}"]}
        submit(client, "/ask", fields)
    with django_assert_max_num_queries(12):
        page = client.get("/").text
    assert page.count('data-status="done"') == 12
    assert page.count("/thumbnail") == 24
