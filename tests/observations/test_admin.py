"""The admin's page of observations: read, search, filter."""

import pytest
from django.test import Client

from mlmodels.models import ModelVersion
from observations.models import MushroomObserverImage, MushroomObserverWrite, Observation
from observations.services import names_add
from tests.support.observations import finished, post_photos
from tests.support.photos import drawn_photo
from tests.support.spreadsheets import csv_rows

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("production", "lost_messages"),
]
PAGE = "/admin/observations/observation/"


@pytest.fixture
def admin(client: Client, users) -> Client:
    client.force_login(users["bob"])
    return client


@pytest.fixture
def observations(alice, users, production: ModelVersion) -> list[Observation]:
    post_photos(alice, [drawn_photo(130), b"no photo"], ["Aleuria aurantia", "Amanita"])
    finished()
    done = Observation.objects.get()
    note = "<script>alert(1)</script>"
    noted = Observation.objects.create(
        user=users["clementine"], note=note, source="mushroom_observer", mushroom_observer_id=4711
    )
    names_add(observation=noted, proposed=["Amanita muscaria"])
    return [done, noted]


def found(admin: Client, query: str) -> set[int]:
    return set(admin.get(f"{PAGE}?{query}").context["cl"].queryset.values_list("pk", flat=True))


def test_it_is_searched_and_filtered(admin: Client, observations: list[Observation]) -> None:
    done, noted = (observation.pk for observation in observations)
    assert found(admin, "") == {done, noted}
    assert found(admin, "q=aleuria_aurantia+(Pers.)") == {done}
    assert found(admin, "q=alice") == {done}
    assert found(admin, "q=4711") == {noted}
    assert found(admin, f"q={done}") == {done}
    assert found(admin, "q=%25%27%22") == set()
    assert found(admin, "status__exact=done") == {done}
    assert found(admin, "source__exact=mushroom_observer") == {noted}
    assert found(admin, "verdict=not_covered") == {done}
    assert found(admin, "verdict=nonsense") == {done, noted}


def test_a_page_shows_photos_answer_and_verdicts(
    admin: Client, observations: list[Observation]
) -> None:
    done, noted = observations
    page = admin.get(f"{PAGE}{done.pk}/change/").content.decode()
    assert (done.answer or {})["predictions"][0]["species"] in page
    assert page.count("/admin/predictions/prediction/") >= 2
    assert "This is not a photo." in page
    assert '<strong><i lang="la">Amanita</i>: cannot be judged</strong>' in page
    assert "A genus alone is not judged" in page
    assert ">not_covered<" not in page
    page = admin.get(f"{PAGE}{noted.pk}/change/").content.decode()
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    assert 'name="_save"' not in page, "only services write"


def test_lists_read_plainly_and_their_csv_has_the_values(admin: Client, users) -> None:
    MushroomObserverImage.objects.create(
        image_id=1, observation_id=2, confidence=2.3456789, ok_for_export=True
    )
    content = {"vote": 3, "naming": 12}  # as PostgreSQL orders them
    MushroomObserverWrite.objects.create(
        user=users["alice"], mushroom_observer_id=2, kind="vote", content=content, state="sent"
    )
    for name, shown, column, value in (
        ("mushroomobserverimage", "2.35", "confidence", "2.3456789"),
        ("mushroomobserverwrite", "vote: 3; naming: 12", "content", str(content)),
    ):
        page = f"/admin/observations/{name}/"
        assert shown in admin.get(page).content.decode()
        assert [row[column] for row in csv_rows(admin.get(f"{page}export.csv"))] == [value]
