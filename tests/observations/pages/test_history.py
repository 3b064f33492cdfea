"""The page of what a verifier asked and decided."""

import re

import pytest
from django.test import Client

from observations.models import Observation
from observations.pages import history

pytestmark = pytest.mark.django_db


def listed(client: Client, query: str = "") -> list[int]:
    answer = client.get(f"/finds{query}")
    assert answer.status_code == 200
    return [int(pk) for pk in re.findall(r'name="find" value="(\d+)"', answer.text)]


def test_own_finds_are_listed_newest_first(page, rows) -> None:
    assert listed(page) == [row.pk for row in reversed(rows)]
    text = page.get("/finds").text
    assert '<i lang="la">Aleuria aurantia</i>, 80\u00a0%' in text
    assert "Not answered yet" in text
    assert 'href="https://mushroomobserver.org/observations/7"' in text


def test_only_ones_own_are_listed(rows, users, admin) -> None:
    clementine = Client()
    clementine.force_login(users["clementine"], backend="accounts.backends.PasswordBackend")
    assert listed(clementine) == []
    assert listed(admin) == [], "an administrator has a history of their own"
    assert Client().get("/finds").headers["Location"] == "/login?next=/finds"


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("?verdict=supported", [0]),
        ("?verdict=&decision=agree&source=", [1]),
        ("?source=mushroom_observer", [2]),
        ("?proposed=Aleuria+aurantia", [1, 0]),
        ("?created_after=2030-01-01", []),
        ("?created_after=2020-01-01", [3, 2, 1, 0]),
        ("?unknown=1&cursor=x", [3, 2, 1, 0]),
    ],
)
def test_filters_choose(page, rows, query, numbers) -> None:
    assert listed(page, query) == [rows[number].pk for number in numbers]


@pytest.mark.parametrize(
    "query", ["?verdict=yes", "?created_after=soon", "?proposed=%3Cb%3E", "?source=a%00"]
)
def test_malformed_filters_are_told(page, rows, query) -> None:
    for path in ("/finds", "/finds.csv"):
        answer = page.get(path + query)
        assert answer.status_code in (400, 404)
        assert "<b>" not in answer.text


def test_pages_follow_each_other(page, rows, monkeypatch) -> None:
    monkeypatch.setattr(history, "PAGE_SIZE", 3)
    assert listed(page) == [row.pk for row in rows[:0:-1]]
    assert f"cursor={rows[1].pk}" in page.get("/finds").text
    assert listed(page, f"?cursor={rows[1].pk}") == [rows[0].pk]
    assert "Older" not in page.get(f"/finds?cursor={rows[1].pk}").text


def test_a_list_costs_as_many_queries_as_a_short_one(
    page, rows, django_assert_max_num_queries
) -> None:
    with django_assert_max_num_queries(10):
        page.get("/finds")


def test_csv_has_what_the_list_shows(page, rows) -> None:
    answer = page.get("/finds.csv?verdict=supported")
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(f'"{rows[0].pk}","done"')


def test_finds_are_deleted_once_that_is_confirmed(page, rows) -> None:
    chosen = {"find": [rows[0].pk, rows[3].pk]}
    asked = page.post("/finds/delete", chosen)
    assert "Delete these 2 finds?" in asked.text
    assert Observation.objects.count() == 4
    done = page.post("/finds/delete", chosen | {"confirmed": "1"}, follow=True)
    assert "2 finds were deleted." in done.text
    assert set(Observation.objects.values_list("pk", flat=True)) == {rows[1].pk, rows[2].pk}


@pytest.mark.parametrize("chosen", [[], ["x"], ["9" * 18], ["-1"]])
def test_nothing_is_deleted_where_nothing_was_chosen(page, rows, chosen) -> None:
    done = page.post("/finds/delete", {"find": chosen, "confirmed": "1"}, follow=True)
    assert "Nothing was deleted" in done.text
    assert Observation.objects.count() == 4


def test_finds_of_others_are_not_deleted(rows, admin) -> None:
    admin.post("/finds/delete", {"find": [rows[0].pk], "confirmed": "1"})
    assert Observation.objects.count() == 4
