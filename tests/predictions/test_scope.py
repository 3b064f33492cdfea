"""Scope and plausible species: from the engine's outputs to what people read."""

import json
from dataclasses import asdict
from urllib.parse import urlencode

import pytest
from django.test import Client
from rest_framework.test import APIClient

from mlmodels.ml.answers import answer, read_calibration
from mlmodels.ml.artifact import ArtifactError
from mlmodels.ml.preprocessing import decode_photo, to_input
from mlmodels.models import ModelVersion
from mlmodels.scoring import score_image
from mlmodels.selectors import version_artifact
from predictions.models import Inference, Photo, Prediction
from tests.support.api import PREDICTIONS
from tests.support.calibrations import calibrate_version, uncalibrate_version
from tests.support.photos import drawn_photo
from tests.support.predictions import answered, upload
from tests.support.rows import answered_prediction, version_row

pytestmark = pytest.mark.django_db


def as_json(client: APIClient, prediction: Prediction) -> dict:
    return client.get(f"{PREDICTIONS}/{prediction.pk}").json()


def test_a_calibrated_version_tells_scope_and_plausible_species(bob, production) -> None:
    raw = calibrate_version(production)
    data = drawn_photo(70)
    outputs = (
        version_artifact(production)
        .load_engine()
        .score(to_input(decode_photo(data), production.input_size))
    )
    expected = answer(outputs.logits, None, read_calibration(raw, 10))
    prediction = answered(upload(data, nb_preds=10))
    inference = prediction.inference
    assert inference.scores == [round(100 * score, 2) for score in expected.scores]
    assert inference.p_values == pytest.approx(expected.p_values.tolist(), abs=1e-6)
    assert inference.name_scores == [
        min(99.99, round(100 * probability, 2)) for probability in expected.probabilities_right
    ]
    told = as_json(bob, prediction)
    assert told["scope"] == {
        "in_scope": expected.in_scope,
        "score": round(100 * expected.scope, 2),
    }
    assert told["plausible"] == [production.labels[index] for index in expected.plausible]
    again = as_json(bob, upload(data))
    assert again["reused"] is True
    assert (again["scope"], again["plausible"]) == (told["scope"], told["plausible"])


def test_a_version_without_a_calibration_tells_neither(bob, production) -> None:
    uncalibrate_version(production)
    prediction = answered(upload(drawn_photo(71)))
    told = as_json(bob, prediction)
    assert told["predictions"]
    assert (told["scope"], told["plausible"]) == (None, None)


def test_a_card_with_a_damaged_calibration_says_which(production) -> None:
    raw = calibrate_version(production)
    production.card["calibration"] = {**raw, "temperature": "warm"}
    production.save()
    with pytest.raises(ArtifactError, match=r"card of VGG16 1 is not valid: .*temperature"):
        score_image(production, decode_photo(drawn_photo(72)))


@pytest.mark.parametrize(("threshold", "is_kept"), [(0.0, True), (1.0, False)])
def test_a_photo_out_of_scope_is_not_kept_for_training_whatever_it_scores(
    production, settings, threshold, is_kept
) -> None:
    settings.CHAMPIPY_KEEP_SCORE = 0
    calibrate_version(production, threshold=threshold)
    prediction = answered(upload(drawn_photo(73)))
    assert prediction.inference.in_scope is is_kept
    photo = Photo.objects.get()
    assert photo.split == ("training" if is_kept else "")


def test_what_champipy_asked_for_by_itself_is_not_kept_for_training(production, settings) -> None:
    settings.CHAMPIPY_KEEP_SCORE = 0
    calibrate_version(production, threshold=0.0)
    for number, is_background in ((74, True), (75, False)):
        prediction = upload(drawn_photo(number))
        Prediction.objects.filter(pk=prediction.pk).update(is_background=is_background)
        assert answered(prediction).inference.photo.split == ("" if is_background else "training")


@pytest.fixture
def rows(users) -> list[int]:
    """Create alice's predictions: in scope, out of scope, not told, pending; return their ids."""
    version: ModelVersion = version_row()
    hers = {"user": users["alice"]}
    inside, outside, untold = [
        answered_prediction(score, version, **hers) for score in (95.0, 55.0, 60.0)
    ]
    p_values = [0.3, 0.1, 0.11, *[0.01] * 7]
    for prediction, in_scope, score in ((inside, True, 97.1), (outside, False, 12.34)):
        Inference.objects.filter(prediction=prediction).update(
            in_scope=in_scope, scope_score=score, p_values=p_values, name_scores=[50.0] * 10
        )
    pending = Prediction.objects.create(file="c.jpg", is_upload=True, **hers)
    return [inside.pk, outside.pk, untold.pk, pending.pk]


def listed(client: APIClient, **query: str) -> list[int]:
    response = client.get(f"{PREDICTIONS}?{urlencode(query)}")
    assert response.status_code == 200, response.json()
    return [row["id"] for row in response.json()["results"]]


def test_predictions_are_filtered_by_scope(alice: APIClient, rows: list[int]) -> None:
    inside, outside, untold, pending = rows
    assert listed(alice, in_scope="true") == [inside]
    assert listed(alice, in_scope="false") == [outside]
    assert listed(alice) == [pending, untold, outside, inside]
    assert listed(alice, in_scope="false", min_score="90") == []


@pytest.mark.parametrize("value", ["", "yes", "1", "null", "TRUE "])
def test_scope_is_true_or_false(alice: APIClient, rows: list[int], value: str) -> None:
    response = alice.get(f"{PREDICTIONS}?{urlencode({'in_scope': value})}")
    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"] == "in_scope"


def test_the_best_species_is_plausible_in_scope_only(alice: APIClient, rows: list[int]) -> None:
    results = {row["id"]: row for row in alice.get(PREDICTIONS).json()["results"]}
    inside, outside, untold, pending = (results[pk] for pk in rows)
    species = ["Aleuria aurantia", "Amanita muscaria", "Coprinus comatus"]
    assert inside["predictions"][0]["species"] == species[1]
    # Its p-value of 0.1 rules it out, but a photo in scope has its best species at least.
    assert inside["plausible"] == [species[1], species[0], species[2]]
    assert outside["plausible"] == [species[0], species[2]]
    assert inside["scope"] == {"in_scope": True, "score": 97.1}
    assert outside["scope"] == {"in_scope": False, "score": 12.34}
    assert (untold["scope"], untold["plausible"]) == (None, None)
    assert (pending["scope"], pending["plausible"]) == (None, None)


def test_the_admin_says_first_that_a_photo_shows_none_of_the_species(users, rows) -> None:
    inside, outside, untold, _ = rows
    admin = Client()
    admin.force_login(users["bob"])

    def page(pk: int) -> str:
        return admin.get(f"/admin/predictions/prediction/{pk}/change/").content.decode()

    sentence = "None of the 10 species that it knows"
    shown = page(outside)
    assert 0 < shown.index(sentence) < shown.index("Amanita muscaria")
    assert "One of its species with a probability of 12\xa0%." in shown
    plausible = '<i lang="la">Aleuria aurantia</i>, <i lang="la">Coprinus comatus</i>'
    assert f"Cannot be ruled out: {plausible}" in shown
    assert sentence not in page(inside)
    assert "Cannot be ruled out" not in page(untold)
    for pk, is_told in ((outside, True), (inside, False), (untold, False)):
        photo = Prediction.objects.get(pk=pk).inference.photo_id
        reviewed = admin.get(f"/admin/predictions/photo/{photo}/change/").content.decode()
        assert ("none of its species" in reviewed) is is_told
    listing = admin.get("/admin/predictions/prediction/").content.decode()
    likeliest = '<i lang="la">Amanita muscaria</i> 55.0\xa0%'
    assert listing.count(f"none of its species; the likeliest: {likeliest}") == 1


def test_scores_are_stored_as_json_holds_them(production) -> None:
    calibrate_version(production)
    said = asdict(score_image(production, decode_photo(drawn_photo(74))))
    assert json.loads(json.dumps(said)) == said
    assert None not in said.values()
