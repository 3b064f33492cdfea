"""`GET /predictions/{id}/similar` and `GET /photos/{id}`: which photos are listed, and to whom."""

import io
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from PIL import Image
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.ml.preprocessing import decode_photo
from mlmodels.models import Species, SpeciesName
from predictions import similar_selectors
from predictions.embedding_services import photo_embed
from predictions.import_services import ImportOutcome, photo_import
from predictions.labels import Label, OtherSpecies
from predictions.licences import Attribution
from predictions.models import Photo, PhotoEmbedding, Prediction
from predictions.photo_services import photo_store
from predictions.similar_selectors import similar_photos
from predictions.vector_services import vectors_prepare
from tests.support.api import PREDICTIONS, client_of, error_of
from tests.support.labelled_photos import ten_species
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, upload

pytestmark = pytest.mark.django_db(transaction=True)

BY_SA = "https://creativecommons.org/licenses/by-sa/3.0/"
ANN = Attribution("Ann", BY_SA, "https://mushroomobserver.org/images/17")


def noisy(seed: int, noise: int, format: str = "JPEG") -> bytes:
    """Return a drawn photo's mirror image with noise: similar, but no near-duplicate."""
    image = np.asarray(Image.open(io.BytesIO(drawn_photo(seed)))).astype(int)
    added = np.random.default_rng(noise).integers(-noise, noise + 1, image.shape)
    file = io.BytesIO()
    Image.fromarray((image[:, ::-1] + added).clip(0, 255).astype(np.uint8)).save(file, format)
    return file.getvalue()


def imported(
    data: bytes, label: Label, attribution: Attribution | None = ANN, mo_id: int | None = None
) -> Photo:
    result = photo_import(
        data=data, label=label, split=Photo.Split.TRAINING, origin="a.jpg",
        mushroom_observer_id=mo_id, attribution=attribution, allow_resembling=True,
    )  # fmt: skip
    assert result.outcome == ImportOutcome.NEW
    photo = Photo.objects.latest("id")
    photo_embed(photo_id=photo.pk)
    return photo


@pytest.fixture
def species(production) -> list[Species]:
    return ten_species()


@pytest.fixture
def prediction(production, users: dict[str, User]) -> Prediction:
    prediction = answered(upload(drawn_photo(500)))
    Prediction.objects.filter(pk=prediction.pk).update(user=users["alice"])
    photo_embed(photo_id=prediction.inference.photo_id)
    return prediction


def similar(client: APIClient, prediction: Prediction, **query: str) -> list[dict]:
    response = client.get(f"{PREDICTIONS}/{prediction.pk}/similar", query)
    assert response.status_code == 200, response.content
    return response.json()["results"]


def test_the_most_similar_comes_first_with_its_licence(
    alice: APIClient, bob: APIClient, prediction: Prediction, species: list[Species]
) -> None:
    far = imported(drawn_photo(501), species[0])
    near = imported(noisy(500, 3), species[1], mo_id=17)
    other = imported(drawn_photo(502), OtherSpecies("Boletus edulis"), Attribution("B", BY_SA))
    results = similar(alice, prediction)
    assert results[0]["photo"] == near.pk
    assert {row["photo"] for row in results} == {near.pk, far.pk, other.pk}
    first, *rest = results
    assert first == {
        "photo": near.pk,
        "species": species[1].name,
        "similarity": first["similarity"],
        "author": "Ann",
        "licence": BY_SA,
        "source": "https://mushroomobserver.org/images/17",
    }
    assert 100 >= first["similarity"] > max(row["similarity"] for row in rest) >= 0
    [boletus] = [row for row in rest if row["photo"] == other.pk]
    assert (boletus["species"], boletus["source"]) == ("Boletus edulis", None)
    assert similar(bob, prediction) == results


def test_a_workers_embedding_is_waited_for_and_computed_once(
    alice: APIClient, workers, prediction: Prediction, species: list[Species]
) -> None:
    near = imported(noisy(500, 3), species[1])
    PhotoEmbedding.objects.filter(pk=prediction.inference.photo_id).delete()
    assert [row["photo"] for row in similar(alice, prediction)] == [near.pk]
    row = PhotoEmbedding.objects.get(pk=prediction.inference.photo_id)
    assert (row.attempts, len(row.numbers)) == (1, 128)
    assert [row["photo"] for row in similar(alice, prediction)] == [near.pk]
    row.refresh_from_db()
    assert row.attempts == 1


def test_without_a_worker_the_answer_says_when_to_ask_again(
    alice: APIClient, prediction: Prediction
) -> None:
    PhotoEmbedding.objects.all().delete()
    path = f"{PREDICTIONS}/{prediction.pk}/similar"
    response = alice.get(path, headers={"Prefer": "respond-async"})
    assert error_of(response) == (503, "similar_not_ready")
    assert response.headers["Retry-After"] == "5"


def test_only_photos_whose_licence_allows_it_are_listed(
    alice: APIClient, prediction: Prediction, species: list[Species]
) -> None:
    listed = imported(noisy(500, 3), species[1])
    imported(noisy(500, 4), species[1], None)
    imported(noisy(500, 5), species[1], Attribution("Ann", "", "https://a.example/"))
    hidden = {
        "excluded": imported(drawn_photo(510), species[1]),
        "no bytes": imported(drawn_photo(511), species[1]),
        "a model's name": imported(drawn_photo(512), species[1]),
        "no name": imported(drawn_photo(513), OtherSpecies()),
    }
    Photo.objects.filter(pk=hidden["excluded"].pk).update(excluded=True, split="")
    Photo.objects.filter(pk=hidden["no bytes"].pk).update(file="")
    Photo.objects.filter(pk=hidden["a model's name"].pk).update(label_source="predicted")
    data = noisy(500, 6)  # another user's upload, a training photo by its score
    uploaded = photo_store(data=data, image=decode_photo(data), origin="b.jpg")
    photo_embed(photo_id=uploaded.pk)
    assert [row["photo"] for row in similar(alice, prediction)] == [listed.pk]
    for photo in (*hidden.values(), uploaded):
        assert error_of(alice.get(f"/api/v1/photos/{photo.pk}")) == (404, "not_found")


def test_copies_of_the_photo_itself_are_left_out(
    alice: APIClient, prediction: Prediction, species: list[Species]
) -> None:
    asked = prediction.inference.photo
    image = Image.open(io.BytesIO(drawn_photo(500)))
    file = io.BytesIO()
    image.resize((200, 150)).save(file, "PNG")
    imported(file.getvalue(), species[1])
    imported(drawn_photo(515), species[1], mo_id=4711)
    Photo.objects.filter(pk=asked.pk).update(mushroom_observer_id=4711)
    imported(drawn_photo(500), species[1])  # the very bytes that were asked about
    near = imported(noisy(500, 3), species[1], mo_id=4720)
    assert [row["photo"] for row in similar(alice, prediction)] == [near.pk]


def test_species_takes_any_name_and_names_of_other_species(
    alice: APIClient, prediction: Prediction, species: list[Species]
) -> None:
    polyporus = next(each for each in species if each.name == "Polyporus squamosus")
    SpeciesName.objects.get_or_create(
        key="cerioporus squamosus",
        defaults={"species": polyporus, "name": "Cerioporus squamosus"},
    )
    own = imported(drawn_photo(520), polyporus)
    boletus = imported(noisy(500, 3), OtherSpecies("Boletus edulis"))
    names = {
        "Polyporus squamosus": [own.pk],
        "Cerioporus squamosus (Huds.) Quél.": [own.pk],
        "boletus EDULIS": [boletus.pk],
        "Boletus edulis Bull.": [boletus.pk],
        "Amanita muscaria": [],
    }
    for name, expected in names.items():
        assert [row["photo"] for row in similar(alice, prediction, species=name)] == expected
    for name in ("Russula emetica", "", "Boletus", "<script>", "x" * 251, "a\x00b"):
        response = alice.get(f"{PREDICTIONS}/{prediction.pk}/similar", {"species": name})
        assert response.status_code == 400, name
    unknown = alice.get(f"{PREDICTIONS}/{prediction.pk}/similar", {"nonsense": "1"})
    assert error_of(unknown) == (400, "parse_error")


def test_strangers_get_nothing_and_a_photo_that_is_gone_is_a_404(
    alice: APIClient, prediction: Prediction, users: dict[str, User]
) -> None:
    path = f"{PREDICTIONS}/{prediction.pk}/similar"
    assert error_of(client_of(users["clementine"]).get(path)) == (404, "not_found")
    pending = Prediction.objects.create(user=users["alice"], file="a", is_upload=True)
    assert error_of(alice.get(f"{PREDICTIONS}/{pending.pk}/similar")) == (404, "not_found")
    Photo.objects.update(file="")
    assert error_of(alice.get(path)) == (404, "not_found")


def test_any_user_sees_a_listed_photo_and_only_owners_see_others(
    alice: APIClient, bob: APIClient, workers, prediction: Prediction, species, users
) -> None:
    listed = imported(noisy(500, 3), species[1])
    clementine = client_of(users["clementine"])
    for client in (alice, bob, clementine):
        response = client.get(f"/api/v1/photos/{listed.pk}")
        assert (response.status_code, response["Content-Type"]) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(response.content)).size == (320, 240)
    own = f"/api/v1/photos/{prediction.inference.photo_id}"
    assert [client.get(own).status_code for client in (alice, bob, clementine)] == [200, 200, 404]
    Photo.objects.filter(pk=listed.pk).update(licence="")
    withdrawn = f"/api/v1/photos/{listed.pk}"
    answers = [client.get(withdrawn).status_code for client in (alice, bob, clementine)]
    assert answers == [404, 200, 404]


def test_the_index_finds_what_comparing_all_photos_finds(
    monkeypatch, prediction: Prediction, species: list[Species], django_assert_num_queries
) -> None:
    """With 600 photos of which one in twenty has the species, and one in four a licence."""
    assert vectors_prepare()
    generator = np.random.default_rng(1)
    embedder = PhotoEmbedding.objects.get(pk=prediction.inference.photo_id).embedder
    photos = Photo.objects.bulk_create(
        Photo(
            sha256=f"{number:064}", file=f"{number}.jpg", bytes=1, width=9, height=9,
            perceptual_hash=int(generator.integers(-(2**63), 2**63)),
            label=species[number % 10 if number % 20 else 3], label_source="imported",
            licence=BY_SA if number % 4 == 0 else "",
        )
        for number in range(600)
    )  # fmt: skip
    vectors = generator.normal(size=(600, 128))
    PhotoEmbedding.objects.bulk_create(
        PhotoEmbedding(photo=photo, embedder=embedder, numbers=vector.tolist())
        for photo, vector in zip(
            photos, vectors / np.linalg.norm(vectors, axis=1)[:, None], strict=True
        )
    )
    asked = {"photo": prediction.inference.photo, "count": 10}
    asked["numbers"] = vectors[5].tolist()
    for label in (None, species[3]):
        exact = similar_photos(label=label, **asked)
        assert len(exact) == 10
        monkeypatch.setattr(similar_selectors, "MAX_EXACT", 0)
        with django_assert_num_queries(8):
            assert similar_photos(label=label, **asked) == exact
        monkeypatch.undo()


def test_a_deleted_user_takes_no_listed_photo_along(
    prediction: Prediction, species: list[Species], alice: APIClient
) -> None:
    """A photo that was imported and then sent by a user is listed still when they go."""
    listed = imported(noisy(500, 3), species[1])
    again = answered(upload(Path(listed.file.path).read_bytes()))
    again.user = get_user_model().objects.create_user("zoe", password="p")
    again.save()
    again.user.delete()
    assert [row["photo"] for row in similar(alice, prediction)] == [listed.pk]
