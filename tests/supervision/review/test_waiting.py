"""The review opens on what waits, says how much, who said what, and goes on by itself."""

import re
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from common import paging
from mlmodels.models import ModelVersion, Species
from predictions.labels import OtherSpecies
from predictions.models import Inference, Photo
from supervision.models import LabelDoubt
from supervision.monitoring.admin import dashboard
from supervision.review import words
from supervision.review.admin import lists
from supervision.review.services import photo_label, photo_label_other
from tests.support.labelled_photos import SPECIES, ten_species
from tests.support.rows import inference_fields, version_row

pytestmark = pytest.mark.django_db
LIST = "/admin/predictions/photo/"
WAITING = "review=waiting"


@pytest.fixture
def version() -> ModelVersion:
    ten_species()
    return version_row()


def guessed(version: ModelVersion, number: int, **fields: object) -> Photo:
    """Store the row of a photo that a version took for the species of that number."""
    photo = Photo.objects.create(
        sha256=f"{number:064x}", file="a", bytes=1, width=9, height=9,
        perceptual_hash=0x0F0F_1111_2222_3333 * (number + 1) % (1 << 63), **fields,
    )  # fmt: skip
    scores = [90.0 if index == number else 1.0 for index in range(len(SPECIES))]
    Inference.objects.create(
        photo=photo, model_version=version, **inference_fields(version, scores)
    )
    return photo


def page_of(photo: Photo, query: str = WAITING) -> str:
    address = f"{LIST}{photo.pk}/change/"
    return f"{address}?{urlencode({'_changelist_filters': query})}"


def cards(page: str) -> dict[int, str]:
    """Return who says what, by the photos' ids, in the order of the cards."""
    found = re.findall(
        r'<article.*?data-photo="(\d+):.*?<h2 class="who-says">([^<]+)</h2>', page, re.S
    )
    return {int(pk): who for pk, who in found}


def test_the_navigation_opens_the_list_of_what_waits(admin: Client, version) -> None:
    waits = guessed(version, 1)
    guessed(version, 2, label=Species.objects.get(name=SPECIES[2]), label_source="imported")
    response = admin.get(LIST, follow=True)
    assert response.redirect_chain == [(f"{LIST}?{WAITING}", 302)]
    page = response.content.decode()
    assert list(cards(page)) == [waits.pk]
    assert "1 photo is left here." in page
    assert f'<a href="?{WAITING}" aria-current="page">Named by a model only' in page
    assert len(cards(admin.get(f"{LIST}?review=all").content.decode())) == 2
    assert len(cards(admin.get(f"{LIST}?split__exact=").content.decode())) == 2, "no filter added"


def test_each_list_says_how_many_wait(admin: Client, version) -> None:
    for number in range(3):
        guessed(version, number)
    species = Species.objects.get(name=SPECIES[5])
    doubted = guessed(version, 5, label=species, label_source="imported")
    LabelDoubt.objects.create(
        photo=doubted, label=species, likelier=Species.objects.get(name=SPECIES[1]),
        doubt=0.9, method="test", audited_at=doubted.created_at,
    )  # fmt: skip
    page = admin.get(f"{LIST}?{WAITING}").content.decode()
    counts = re.findall(r">([^<]+) <span class=\"count\">(\d+)<", page)
    assert dict(counts) == {
        "Named by a model only": "3",
        "In the next training": "0",
        "Feedback of users": "0",
        "Doubted by the audit": "1",
    }


def test_the_heading_tells_a_models_guess_from_a_persons_word(
    admin: Client, users: dict[str, User], version
) -> None:
    bob, right = users["bob"], Species.objects.get(name=SPECIES[2])
    label = Species.objects.get(name=SPECIES[4])
    guess, confirmed, corrected = (guessed(version, number) for number in (1, 2, 3))
    photo_label(photo=confirmed, species=right, by=bob)
    photo_label(photo=corrected, species=right, by=bob)
    imported = guessed(version, 4, label=label, label_source="imported")
    settled = guessed(version, 5, label=label, label_source="settled")
    kept = guessed(version, 6, label=label, label_source="predicted")
    page = admin.get(f"{LIST}?review=all").content.decode()
    assert cards(page) == {
        kept.pk: "A model&#x27;s guess",
        settled.pk: "Settled at Mushroom Observer",
        imported.pk: "Imported as",
        corrected.pk: "bob corrected it to",
        confirmed.pk: "bob confirmed",
        guess.pk: "A model&#x27;s guess",
    }
    assert page.count("photo-card guess") == 2
    own = admin.get(page_of(guess)).content.decode()
    assert re.search(r'who-says-large guess">A model&#x27;s guess: <span[^>]*>' + SPECIES[1], own)
    own = admin.get(page_of(confirmed)).content.decode()
    assert re.search(r'who-says-large">bob confirmed: <span[^>]*>' + SPECIES[2], own)


def test_a_decision_on_a_photos_page_goes_on_to_the_next_one_that_waits(
    admin: Client, version
) -> None:
    first, second, third = (guessed(version, number) for number in (1, 2, 3))
    page = admin.get(page_of(third)).content.decode()
    assert "3 photos are left here." in page
    assert f'href="{page_of(second)}"' in page
    review = reverse("admin:predictions_photo_review")

    def confirm(photo: Photo, name: str):
        fields = {"verdict": "confirm", "photo": f"{photo.pk}:{name}", "query": WAITING}
        return admin.post(review, fields | {"from_page": "1"}, follow=True)

    response = confirm(third, SPECIES[3])
    assert response.redirect_chain == [(page_of(second), 302)]
    page = response.content.decode()
    assert "1 photo confirmed." in page
    assert "2 photos are left here." in page
    # The last one of the list leads to its first.
    assert confirm(first, SPECIES[1]).redirect_chain == [(page_of(second), 302)]
    response = confirm(second, SPECIES[2])
    assert response.redirect_chain == [(f"{LIST}?{WAITING}", 302)]
    page = response.content.decode()
    assert "No photo is left here." in page
    [decision] = re.findall(r'id="undo" name="decision" value="([^"]+)"', page)
    fields = {"decision": decision, "query": WAITING, "from_page": "1"}
    undone = admin.post(reverse("admin:predictions_photo_undo"), fields, follow=True)
    assert undone.redirect_chain == [(page_of(second), 302)]
    assert "1 photo is left here." in undone.content.decode()


def test_a_decision_by_key_says_how_many_are_left(admin: Client, version) -> None:
    photo, _ = guessed(version, 1), guessed(version, 2)
    fields = {"verdict": "exclude", "photo": f"{photo.pk}:", "query": WAITING}
    headers = {"Accept": "application/json"}
    body = admin.post(reverse("admin:predictions_photo_review"), fields, headers=headers).json()
    assert body["left"] == "1 photo is left here."
    undone = {"decision": body["undo"]["id"], "query": WAITING}
    body = admin.post(reverse("admin:predictions_photo_undo"), undone, headers=headers).json()
    assert body["left"] == "2 photos are left here."


@pytest.mark.parametrize("query", ["", "nonsense=1", "species=%00", "&&=", "p=999"])
def test_a_list_that_does_not_exist_leads_nowhere_else(admin: Client, version, query: str) -> None:
    photo = guessed(version, 1)
    fields = {"verdict": "exclude", "photo": f"{photo.pk}:", "query": query, "from_page": "1"}
    response = admin.post(reverse("admin:predictions_photo_review"), fields)
    assert response.status_code in (302, 400)
    assert response.headers.get("Location", LIST).startswith(LIST)


def test_other_species_are_told_from_names_in_the_text_of_a_card(
    admin: Client, users: dict[str, User], version
) -> None:
    photo = guessed(version, 1)
    photo_label_other(photo=photo, other=OtherSpecies("Boletus edulis"), by=users["bob"])
    page = admin.get(f"{LIST}?species=other").content.decode()
    assert cards(page) == {photo.pk: "bob corrected it to"}
    assert '<span class="species">other species: Boletus edulis</span>' in page
    assert f'data-photo="{photo.pk}:other species: Boletus edulis"' in page


def test_counting_stops_in_a_long_list_and_pages_say_so(
    admin: Client, version, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (lists, words, dashboard):
        monkeypatch.setattr(module, "MAX_REVIEWED", 2)
    monkeypatch.setattr(paging.ReviewPaginator, "limit", 2)
    for number in range(3):
        guessed(version, number)
    page = admin.get(f"{LIST}?{WAITING}").content.decode()
    assert '<span class="count">2+</span>' in page
    assert "2 photos or more are left here." in page
    assert ">2+</a>" in admin.get("/admin/").content.decode()
