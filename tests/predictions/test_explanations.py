"""`GET /predictions/{id}/explanation`: where on the photo the evidence for a species is."""

import io
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from celery import current_app
from django.conf import settings as configured
from django.db import connection, connections
from PIL import Image
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.models import ModelVersion, Species, SpeciesName
from mlmodels.services import version_promote
from predictions import explanation_services, explanations
from predictions.deletion_services import prediction_delete
from predictions.explanation_services import explanation_make
from predictions.explanations import Explanation
from predictions.models import Photo, Prediction
from predictions.overlays import overlay
from predictions.pictures import pictures_prune
from tests.support.api import PREDICTIONS, client_of, error_of
from tests.support.files import files_of
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, upload
from tests.support.versions import another_version

pytestmark = pytest.mark.django_db(transaction=True)

JSON = {"Accept": "application/json"}
AT_ONCE = {"Prefer": "respond-async"}
FOLDER = Path(configured.CHAMPIPY_HOME) / "cache" / "pictures" / "explanation"


@pytest.fixture(autouse=True)
def no_explanations() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)


@pytest.fixture
def prediction(production, users) -> Prediction:
    prediction = answered(upload(drawn_photo(80, size=(900, 600))))
    Prediction.objects.filter(pk=prediction.pk).update(user=users["alice"])
    return prediction


def path_of(prediction: Prediction, **query: str) -> str:
    parameters = "&".join(f"{name}={value}" for name, value in query.items())
    return f"{PREDICTIONS}/{prediction.pk}/explanation?{parameters}".rstrip("?")


def files() -> list[Path]:
    return sorted(path for path in FOLDER.rglob("*") if path.is_file())


def make(prediction: Prediction, species: str = "", against: str | None = None) -> None:
    inference = prediction.inference
    explanation_make(
        inference_id=inference.pk, species=species or inference.best_species, against=against
    )


def detail_of(response) -> str:
    return response.json()["errors"][0]["detail"]


def test_owner_and_administrator_get_a_picture_or_its_numbers(
    alice: APIClient, bob: APIClient, workers, prediction: Prediction
) -> None:
    response = alice.get(path_of(prediction))
    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/png")
    assert response.headers["Cache-Control"] == "private, no-store"
    picture = Image.open(io.BytesIO(response.content))
    assert (picture.format, picture.size, picture.info) == ("PNG", (640, 427), {})
    for accept in ("image/png", "image/*", "*/*", "image/png, application/problem+json"):
        again = bob.get(path_of(prediction), headers={"Accept": accept})
        assert again.content == response.content

    numbers = alice.get(path_of(prediction), headers=JSON)
    assert numbers.headers["Content-Type"] == "application/json"
    said = numbers.json()
    assert list(said) == ["species", "against", "method", "width", "height", "values"]
    assert said["species"] == prediction.inference.best_species
    assert (said["against"], said["method"]) == (None, "shapley-maps-1")
    assert (said["width"], said["height"]) == picture.size
    assert np.array(said["values"]).shape == (7, 7)
    best = prediction.inference.best_score / 100
    expected = np.log(best / (1 - best)) + np.log(9)
    assert np.sum(said["values"]) == pytest.approx(expected, abs=0.05)
    assert len(files()) == 2, "computed once for both"


def test_the_picture_shows_the_numbers(prediction: Prediction) -> None:
    make(prediction)
    numbers, picture = files()
    said = json.loads(numbers.read_text())
    drawn = np.asarray(Image.open(picture)).astype(int)
    image = Image.open(prediction.inference.photo.file.path).convert("RGB")
    again = Image.open(io.BytesIO(overlay(image, np.array(said["values"]))))
    assert np.abs(drawn - np.asarray(again)).max() <= 1, "values are rounded to four decimals"


def test_a_species_is_explained_against_another_by_any_of_their_names(
    alice: APIClient, workers, prediction: Prediction
) -> None:
    SpeciesName.objects.create(
        species=Species.objects.get(name="Polyporus squamosus"),
        name="Cerioporus squamosus",
        key="cerioporus squamosus",
    )
    query = {"species": "cerioporus_squamosus", "against": "Trametes versicolor (L.) Lloyd"}
    said = alice.get(path_of(prediction, **query), headers=JSON).json()
    assert (said["species"], said["against"]) == ("Polyporus squamosus", "Trametes versicolor")
    swapped = {"species": "Trametes versicolor", "against": "Polyporus squamosus"}
    opposite = alice.get(path_of(prediction, **swapped), headers=JSON).json()
    assert np.array(said["values"]) == pytest.approx(-np.array(opposite["values"]))
    alone = alice.get(path_of(prediction, species="Trametes versicolor"), headers=JSON).json()
    assert alone["values"] != opposite["values"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"species": "Boletus edulis"}, "species"),
        ({"species": "Amanita"}, "species"),
        ({"species": ""}, "species"),
        ({"against": "%00"}, "against"),
        ({"against": "x" * 300}, "against"),
        ({"species": "Mycena haematopus", "against": "Mycena haematopus"}, "against"),
    ],
    ids=str,
)
def test_a_name_that_cannot_be_explained_is_a_400_that_names_it(
    alice: APIClient, prediction: Prediction, query, parameter
) -> None:
    response = alice.get(path_of(prediction, **query), headers={"Accept": "image/png", **AT_ONCE})
    assert (response.status_code, response.headers["Content-Type"]) == (400, "application/json")
    assert [error["attr"] for error in response.json()["errors"]] == [parameter]
    assert error_of(alice.get(path_of(prediction, kind="x"))) == (400, "parse_error")
    assert files() == []


def test_a_species_that_the_version_does_not_know_is_a_400(
    alice: APIClient, prediction: Prediction
) -> None:
    Species.objects.create(name="Boletus edulis")
    response = alice.get(path_of(prediction, against="Boletus edulis"))
    assert response.status_code == 400
    assert "does not know Boletus edulis" in detail_of(response)


def test_nobody_else_learns_that_there_is_an_answer(prediction: Prediction, users) -> None:
    make(prediction)
    Prediction.objects.update(user=users["clementine"])
    for headers in ({}, JSON):
        response = client_of(users["alice"]).get(path_of(prediction), headers=headers)
        assert error_of(response) == (404, "not_found")


def test_web_computes_nothing_and_says_when_to_ask_again(
    alice: APIClient, prediction: Prediction, monkeypatch
) -> None:
    monkeypatch.setattr(explanations, "send_task", lambda *_, **__: True)
    response = alice.get(path_of(prediction), headers=AT_ONCE)
    assert error_of(response) == (503, "explanation_not_ready")
    assert (response.headers["Content-Type"], response.headers["Retry-After"]) == (
        "application/json",
        "5",
    )
    assert files() == []


def test_a_pending_prediction_is_waited_for(
    alice: APIClient, workers, production, users, lost_messages
) -> None:
    pending = upload(drawn_photo(81))
    Prediction.objects.filter(pk=pending.pk).update(user=users["alice"])
    assert error_of(alice.get(path_of(pending), headers=AT_ONCE)) == (503, "explanation_not_ready")

    def answer_later() -> None:
        time.sleep(0.5)
        answered(pending)
        connections.close_all()

    thread = threading.Thread(target=answer_later)
    thread.start()
    response = alice.get(path_of(pending), headers={"Prefer": "wait=30"})
    thread.join()
    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/png")


def test_without_an_answer_or_a_photo_there_is_nothing_to_explain(
    alice: APIClient, prediction: Prediction, users
) -> None:
    failed = Prediction.objects.create(
        user=users["alice"],
        file="a.jpg",
        is_upload=True,
        status="failed",
        error_code="not_an_image",
        error_detail="This file is not a photo.",
    )
    response = alice.get(path_of(failed))
    assert error_of(response) == (404, "not_found")
    assert "has failed" in detail_of(response)
    assert "This file is not a photo." in detail_of(response)
    Path(prediction.inference.photo.file.path).unlink()
    Photo.objects.update(file="")
    response = alice.get(path_of(prediction))
    assert error_of(response) == (404, "not_found")
    assert "no longer stored" in detail_of(response)


def test_a_version_whose_files_are_gone_says_so(
    alice: APIClient, prediction: Prediction, production: ModelVersion, tmp_path
) -> None:
    kept = shutil.move(files_of(production), tmp_path / "kept")
    try:
        response = alice.get(path_of(prediction))
        assert error_of(response) == (409, "version_not_stored")
        assert f"The files of {production}" in detail_of(response)
    finally:
        shutil.move(kept, files_of(production))
    make(prediction)
    assert len(files()) == 2


def test_the_version_that_answered_explains_its_answer(
    alice: APIClient, workers, prediction: Prediction
) -> None:
    successor = another_version(temperature=0.2, shift=1)
    version_promote(version=successor, by=None, reason="test")
    newer = answered(upload(drawn_photo(80, size=(900, 600))))
    assert newer.inference.model_version == successor
    Prediction.objects.update(user=User.objects.get(username="alice"))
    old, new = (alice.get(path_of(each), headers=JSON).json() for each in (prediction, newer))
    assert old["species"] == prediction.inference.best_species
    assert new["species"] == newer.inference.best_species != old["species"]
    for said, each in ((old, prediction), (new, newer)):
        best = each.inference.best_score / 100
        expected = np.log(best / (1 - best)) + np.log(9)
        assert np.sum(said["values"]) == pytest.approx(expected, abs=0.05)


def test_two_workers_compute_the_same_explanation_once(prediction: Prediction, monkeypatch) -> None:
    calls = []
    explain_image = explanation_services.explain_image

    def counted(*arguments, **more):
        calls.append(threading.get_ident())
        time.sleep(0.3)
        return explain_image(*arguments, **more)

    monkeypatch.setattr(explanation_services, "explain_image", counted)

    def work() -> None:
        make(prediction)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len(files()) == 2


def test_after_a_worker_died_the_next_request_makes_it(
    alice: APIClient, workers, prediction: Prediction
) -> None:
    stats = current_app.control.inspect(["inference@test"], timeout=10).stats()
    [child] = stats["inference@test"]["pool"]["processes"]
    os.kill(child, signal.SIGSTOP)
    try:
        for _ in range(2):
            response = alice.get(path_of(prediction), headers={"Prefer": "wait=1"})
            assert error_of(response) == (503, "explanation_not_ready")
    finally:
        os.kill(child, signal.SIGKILL)
    response = alice.get(path_of(prediction), headers={"Prefer": "wait=30"})
    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/png")


def test_numbers_without_their_picture_are_made_again(prediction: Prediction) -> None:
    make(prediction)
    numbers, picture = files()
    content = picture.read_bytes()
    picture.unlink()  # a worker was killed between the two, or the cache was full
    make(prediction)
    assert files() == [numbers, picture]
    assert picture.read_bytes() == content


def test_explanations_count_in_the_bound_of_the_cache(prediction: Prediction, settings) -> None:
    make(prediction)
    settings.CHAMPIPY_PICTURE_CACHE_MB = 0
    assert pictures_prune() >= 2
    assert files() == []


def test_explanations_go_with_their_photo(prediction: Prediction, monkeypatch) -> None:
    make(prediction)
    make(prediction, species="Mycena haematopus", against="Trametes versicolor")
    assert len(files()) == 4
    prediction_delete(prediction=prediction)
    assert files() == []


def test_nothing_is_left_of_a_photo_that_is_deleted_meanwhile(
    prediction: Prediction, monkeypatch
) -> None:
    explain_image = explanation_services.explain_image

    def delete() -> None:
        prediction_delete(prediction=prediction)
        connection.close()

    def deleted_meanwhile(*arguments, **more):
        values = explain_image(*arguments, **more)
        thread = threading.Thread(target=delete)
        thread.start()
        thread.join()
        assert not Photo.objects.exists()
        return values

    monkeypatch.setattr(explanation_services, "explain_image", deleted_meanwhile)
    make(prediction)
    assert files() == []
    make(prediction)  # its inference is gone, too
    assert files() == []


def test_files_are_named_by_all_that_they_depend_on(prediction: Prediction) -> None:
    inference = prediction.inference
    first, second = inference.model_version.labels[:2]
    names = {
        Explanation(inference, *labels).file_name(".png")
        for labels in [(first,), (second,), (first, second), (second, first)]
    }
    assert len(names) == 4
    sha256, pk = inference.photo.sha256, inference.model_version_id
    assert f"explanation/{sha256[:2]}/{sha256}-shapley-maps-1-{pk}-0-1.png" in names
