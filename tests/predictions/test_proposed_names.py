"""POST /predictions with `proposed`: verdicts, what is stored, and names that are refused."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.test import APIClient

from mlmodels.models import ModelVersion, SpeciesName
from mlmodels.names import MAX_NAME_LENGTH
from predictions.models import Inference, Photo, Prediction
from predictions.scoring_services import prediction_infer
from predictions.services import prediction_create
from predictions.verdicts import REASONS, verdict_on, verdict_sentence
from tests.support.api import PREDICTIONS, post_photo, post_url
from tests.support.calibrations import calibrate_version, uncalibrate_version
from tests.support.photos import drawn_photo
from tests.support.rows import inference_fields, version_row

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> ModelVersion:
    version = version_row()
    calibrate_version(version)
    return version


def inference(version: ModelVersion, *, in_scope: bool | None = None, **scores: float) -> Inference:
    """Store an answer with these scores, also of names; the names are those of genera."""
    photo = Photo.objects.create(
        sha256="a" * 64, file="a", bytes=1, width=9, height=9, perceptual_hash=0
    )
    row = [scores.get(label.split()[0], 0.0) for label in version.labels]
    return Inference.objects.create(
        photo=photo,
        model_version=version,
        name_scores=row,
        in_scope=in_scope,
        **inference_fields(version, row),
    )


def test_a_name_is_supported_contradicted_or_neither(version: ModelVersion) -> None:
    answer = inference(version, Polyporus=96.4, Amanita=3.2, Coprinus=0.4)
    told = {}
    for species in ("Polyporus squamosus", "Amanita muscaria", "Coprinus comatus"):
        verdict = verdict_on(proposed=species, species=species, inference=answer)
        assert verdict is not None
        told[species] = (verdict["verdict"], verdict["score"], verdict_sentence(verdict["because"]))
    assert told == {
        "Polyporus squamosus": (
            "supported",
            96.4,
            "Polyporus squamosus is right with a probability of 96.40 %: a name is supported from "
            "60 % on.",
        ),
        "Amanita muscaria": (
            "undecided",
            3.2,
            "Amanita muscaria is right with a probability of 3.20 %: too little to support the "
            "name (60 %), too much to contradict it (0.5 %).",
        ),
        "Coprinus comatus": (
            "contradicted",
            0.4,
            "Polyporus squamosus is likelier than Coprinus comatus, which is right with a "
            "probability of only 0.40 %: a name is contradicted below 0.5 %.",
        ),
    }


def test_a_photo_of_none_of_the_species_supports_no_name(version: ModelVersion) -> None:
    answer = inference(version, in_scope=False, Polyporus=96.4, Coprinus=0.4)
    told = {}
    for species in ("Polyporus squamosus", "Coprinus comatus"):
        verdict = verdict_on(proposed=species, species=species, inference=answer)
        assert verdict is not None
        told[species] = (verdict["verdict"], verdict_sentence(verdict["because"]))
    assert told == {
        "Polyporus squamosus": (
            "undecided",
            "This seems to be none of the 10 species that VGG16 1 knows, which does not support "
            "Polyporus squamosus. The name is right with a probability of 96.40 %: too much to "
            "contradict it (0.5 %).",
        ),
        "Coprinus comatus": (
            "contradicted",
            "This is none of the 10 species that VGG16 1 knows, and Coprinus comatus is right "
            "with a probability of only 0.40 %: a name is contradicted below 0.5 %.",
        ),
    }


def test_a_score_that_reads_as_the_limit_meets_it(version: ModelVersion) -> None:
    score, limit = 50.16, 0.5016
    assert score / 100 < limit
    calibrate_version(version, supported_from=limit)
    answer = inference(version, Amanita=score)
    species = "Amanita muscaria"
    verdict = verdict_on(proposed=species, species=species, inference=answer)
    assert verdict is not None
    assert verdict["verdict"] == "supported"


@pytest.mark.parametrize(
    ("proposed", "code"),
    [
        ("Boletus edulis", "unknown_species"),
        ("Amanita", "genus_alone"),
        ("Amanita sp.", "genus_alone"),
        ("Amanita aff. muscaria", "related_species"),
        ("Amanita muscaria x pantherina", "hybrid"),
        ("Amanita muscaria / pantherina", "several_names"),
    ],
)
def test_other_names_are_not_covered_with_or_without_a_rule(version, proposed, code) -> None:
    answer = inference(version, Amanita=99.0)
    cards: tuple[dict, dict] = version.card, {}
    for card in cards:
        ModelVersion.objects.update(card=card)
        verdict = verdict_on(proposed=proposed, species="", inference=answer)
        assert verdict is not None
        assert (verdict["verdict"], verdict["score"]) == ("not_covered", None)
        assert verdict["because"]["code"] == code
        assert verdict_sentence(verdict["because"]).endswith(".")


def test_every_reason_can_be_told() -> None:
    parameters = {
        **{"species": "a", "best": "b", "model": "c", "score": 1.5, "limit": 100 * 0.07},
        "count": 10,
        **{"supported_from": 60, "contradicted_below": 0.5},
    }
    for code in REASONS:
        sentence = verdict_sentence({"code": code, "parameters": parameters})
        assert sentence.endswith(".")
        assert "%(" not in sentence


def test_a_version_without_a_rule_says_nothing_about_its_species() -> None:
    answer = inference(version_row(), Amanita=99.0)
    species = "Amanita muscaria"
    assert verdict_on(proposed=species, species=species, inference=answer) is None


def ask(client: APIClient, data: bytes, **fields: str) -> dict:
    """Send a photo, do the worker's work here, and return the answer."""
    pending = post_photo(client, data, **fields, headers={"Prefer": "respond-async"})
    assert pending.status_code in (200, 202), pending.json()
    assert pending.status_code == 200 or pending.json()["verdict"] is None
    prediction_infer(prediction_id=pending.json()["id"], send=lambda _: None)
    return client.get(f"{PREDICTIONS}/{pending.json()['id']}").json()


def test_a_synonym_is_judged_as_its_species(alice: APIClient, production: ModelVersion) -> None:
    calibrate_version(production)
    photo = drawn_photo(61)
    without = ask(alice, photo)
    [top] = without["predictions"]
    assert without["verdict"] is None
    SpeciesName.objects.create(
        species_id=SpeciesName.objects.get(name=top["species"]).species_id,
        name="Agaricus alius", key="agaricus alius", kind="synonym",
    )  # fmt: skip
    answer = ask(alice, photo, proposed="  agaricus_alius cf. (L.) Fr. ")
    assert answer["reused"] is True
    verdict = answer["verdict"]
    assert list(verdict) == ["proposed", "species", "verdict", "score", "because"]
    assert verdict["proposed"] == "agaricus_alius cf. (L.) Fr."
    assert verdict["species"] == top["species"]
    is_supported = verdict["score"] >= 60 and answer["scope"]["in_scope"]
    assert verdict["verdict"] == ("supported" if is_supported else "undecided")
    assert top["species"] in verdict["because"]


def test_a_new_photo_is_judged_by_the_worker(alice: APIClient, production: ModelVersion) -> None:
    uncalibrate_version(production)
    answer = ask(alice, drawn_photo(62), proposed="Cerioporus squamosus")
    assert (answer["status"], answer["verdict"]) == ("done", None)  # the card has no rule
    answer = ask(alice, drawn_photo(63), proposed="Boletus edulis Bull.")
    assert answer["verdict"] == {
        "proposed": "Boletus edulis Bull.", "species": None, "verdict": "not_covered",
        "score": None, "because": "VGG16 1 does not know this name, so it cannot judge it.",
    }  # fmt: skip
    row = Prediction.objects.get(pk=answer["id"])
    assert (row.proposed, row.proposed_species) == ("Boletus edulis Bull.", "")
    because = {"code": "unknown_species", "parameters": {"model": "VGG16 1"}}
    assert row.verdict == {"verdict": "not_covered", "score": None, "because": because}


def test_a_verdict_does_not_change_when_the_names_do(alice: APIClient, production) -> None:
    calibrate_version(production)
    answer = ask(alice, drawn_photo(64), proposed="Cerioporus squamosus")
    assert answer["verdict"]["species"] == "Polyporus squamosus"
    SpeciesName.objects.filter(name="Cerioporus squamosus").delete()
    again = alice.get(f"{PREDICTIONS}/{answer['id']}").json()
    assert again["verdict"] == answer["verdict"]


@pytest.mark.parametrize(
    "name",
    [
        *("", "   ", "?", "a" * (MAX_NAME_LENGTH + 1), "Amanita \0", "\ud800a", "\u0410manita"),
        *(12, True, [], {}, ["Amanita muscaria"]),
    ],
    ids=repr,
)
def test_what_is_no_name_is_refused_and_stores_nothing(alice: APIClient, production, name) -> None:
    answer = post_url(alice, "https://example.org/a.jpg", proposed=name)
    assert answer.status_code == 400, answer.json()
    [error] = answer.json()["errors"]
    assert error["attr"] == "proposed"
    assert Prediction.objects.count() == 0


def test_null_is_no_proposal(alice: APIClient, production) -> None:
    body = {"file": "https://example.org/a.jpg", "proposed": None}
    answer = alice.post(PREDICTIONS, body, format="json", headers={"Prefer": "respond-async"})
    assert (answer.status_code, answer.json()["verdict"]) == (202, None)
    assert Prediction.objects.get().proposed == ""


def test_the_admin_shows_the_verdict(users, production: ModelVersion) -> None:
    prediction = prediction_create(
        user=None, file=SimpleUploadedFile("a.jpg", drawn_photo(65)), nb_preds=1,
        version=production, proposed="Amanita", send=lambda _: None,
    )  # fmt: skip
    prediction_infer(prediction_id=prediction.pk, send=lambda _: None)
    admin = Client()
    admin.force_login(users["bob"])
    page = admin.get(f"/admin/predictions/prediction/{prediction.pk}/change/").content.decode()
    assert '<i lang="la">Amanita</i>: cannot be judged' in page
    assert "A genus alone is not judged." in page
