"""Why an answer is as it is: whose finds, which species, similar photos, look-alikes."""

import pytest
from django.core.files.base import ContentFile

from accounts.models import User
from mlmodels.models import Species, SpeciesName
from mlmodels.selectors import production_version
from observations.models import Observation, ObservationPhoto
from observations.services import observation_create
from predictions.embedding_services import photo_embed
from predictions.import_services import photo_import
from predictions.licences import Attribution, licence_name
from predictions.models import Photo
from tests.support.labelled_photos import ten_species
from tests.support.observations import finished
from tests.support.pages import HTMX, browser_of
from tests.support.photos import drawn_photo
from tests.support.predictions import unsent

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("production", "lost_messages"),
]

SYNONYMS = {
    "Aleuria aurantia": ["Peziza aurantia"],
    "Polyporus squamosus": ["Cerioporus squamosus"],
}
ANN = Attribution(
    "Ann", "https://creativecommons.org/licenses/by-sa/3.0/", "https://mushroomobserver.org/1"
)


@pytest.fixture
def find(users: dict[str, User]) -> Observation:
    """Return a find of alice's with two photos and two proposed names."""
    for species in ten_species():
        for name in SYNONYMS.get(species.name, ()):
            SpeciesName.objects.get_or_create(
                key=name.lower(), defaults={"species": species, "name": name, "kind": "synonym"}
            )
    observation = observation_create(
        user=users["alice"],
        photos=[ContentFile(drawn_photo(seed), name="a.jpg") for seed in (900, 901)],
        proposed=["Peziza aurantia", "Boletus edulis"],
        version=production_version(),
        send=unsent,
    )
    finished()
    observation.refresh_from_db()
    return observation


def test_evidence_is_shown_for_the_proposed_name_against_the_best(
    find: Observation, users: dict[str, User]
) -> None:
    page = browser_of(users["alice"]).get(f"/finds/{find.pk}/why")
    text = page.text
    first = find.photos.order_by("pk").first()
    assert find.answer is not None
    best = find.answer["predictions"][0]["species"]
    assert best != "Aleuria aurantia", "the drawing shows no mushroom"
    query = f"species=Aleuria%20aurantia&amp;against={best.replace(' ', '%20')}"
    assert f"/pictures/predictions/{first.prediction_id}/explanation?{query}" in text
    for name in ("Aleuria aurantia", "Boletus edulis", best):
        assert f"Photos of {name}" in text
    assert "evaluation photos of" in text
    piece = browser_of(users["alice"]).get(f"/finds/{find.pk}/why", headers=HTMX).text
    assert "<html" in text and "<html" not in piece


def test_photo_and_species_are_chosen_and_nonsense_is_not(
    find: Observation, users: dict[str, User]
) -> None:
    client = browser_of(users["alice"])
    second = find.photos.order_by("pk").last()
    chosen = client.get(
        f"/finds/{find.pk}/why",
        {"photo": second.prediction_id, "species": "Cerioporus squamosus", "against": ""},
    ).text
    assert (
        f'"/pictures/predictions/{second.prediction_id}/explanation?species=Polyporus%20squamosus"'
        in chosen
    )
    for nonsense in ("<script>", "x" * 5000, "1' OR 1=1", "Boletus edulis", "\N{MUSHROOM}"):
        query = {"photo": nonsense, "species": nonsense, "against": nonsense}
        page = client.get(f"/finds/{find.pk}/why", query)
        assert page.status_code == 200
        assert "<script>" not in page.text.replace("<script ", "")
        assert "explanation?species=Aleuria%20aurantia" in page.text


def test_other_peoples_finds_and_photos_do_not_exist(
    find: Observation, users: dict[str, User]
) -> None:
    clementine = browser_of(users["clementine"])
    photo = find.photos.first()
    for path in (
        f"/finds/{find.pk}",
        f"/finds/{find.pk}/why",
        f"/finds/{find.pk}/photos/{photo.prediction_id}/similar?species=Aleuria+aurantia",
        f"/pictures/predictions/{photo.prediction_id}/thumbnail",
    ):
        assert clementine.get(path).status_code == 404
    alice = browser_of(users["alice"])
    assert alice.get(f"/finds/{10**17}/why").status_code == 404
    assert alice.get(f"/finds/{find.pk}/photos/{10**17}/similar").status_code == 404


def test_similar_photos_come_with_author_and_licence(
    find: Observation, users: dict[str, User]
) -> None:
    client = browser_of(users["alice"])
    photo = find.photos.order_by("pk").first()
    path = f"/finds/{find.pk}/photos/{photo.prediction_id}/similar"
    species = Species.objects.get(name="Aleuria aurantia")
    photo_import(
        data=drawn_photo(950), label=species, split=Photo.Split.TRAINING, origin="a.jpg",
        mushroom_observer_id=None, attribution=ANN, allow_resembling=True,
    )  # fmt: skip
    imported = Photo.objects.latest("id")
    for each in (imported.pk, photo.prediction.inference.photo_id):
        photo_embed(photo_id=each)
    found = client.get(path, {"species": "Peziza aurantia"}, headers=HTMX).text
    assert f'src="/pictures/photos/{imported.pk}"' in found
    assert "© Ann" in found and "CC BY-SA 3.0" in found
    assert ANN.source in found
    none = client.get(path, {"species": "<b>Boletus"}, headers=HTMX).text
    assert "No confirmed photo of" in none and "<b>Boletus" not in none


def test_look_alikes_of_descriptions_are_escaped(find: Observation, users: dict[str, User]) -> None:
    Species.objects.filter(name="Aleuria aurantia").update(look_alikes="<i>Sowerbyella</i>")
    page = browser_of(users["alice"]).get(f"/finds/{find.pk}/why").text
    assert "&lt;i&gt;Sowerbyella" in page


def test_reserved_photos_are_not_shown(find: Observation, users: dict[str, User]) -> None:
    ObservationPhoto.objects.filter(observation=find).update(is_usable=False, image_id=7)
    client = browser_of(users["alice"])
    page = client.get(f"/finds/{find.pk}").text
    assert "/pictures/predictions/" not in page
    assert page.count("This photo may not be shown here.") == 2
    assert page.count("/images/7") == 2
    assert "No evidence can be shown" in client.get(f"/finds/{find.pk}/why").text


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://creativecommons.org/licenses/by-nc-sa/2.5/", "CC BY-NC-SA 2.5"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "Public Domain"),
    ],
)
def test_licences_have_short_names(url: str, name: str) -> None:
    assert licence_name(url) == name
