"""What an evaluation says of photos of other species, plausible species and verdicts."""

import hashlib
import re
from collections import Counter
from html import unescape
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client

from mlmodels.models import ModelVersion
from predictions.import_services import photo_import
from predictions.labels import other_species
from predictions.models import Photo
from supervision.datasets.selectors import evaluation_others, evaluation_set
from supervision.datasets.services import evaluation_set_freeze
from supervision.evaluations.answer_report import answer_lines
from supervision.evaluations.on_demand import evaluation_run, evaluations_request
from supervision.evaluations.services import version_evaluate
from supervision.models import Evaluation, EvaluationSet
from tests.support.calibrations import uncalibrate_version
from tests.support.photos import drawn_photo
from tests.support.spreadsheets import csv_rows

pytestmark = pytest.mark.django_db

NAMES = ("Xerocomus rubellus", "Xerocomus ferrugineus", "Hygrocybe conica")


def other_photo(seed: int, name: str, split: str) -> Photo:
    data = drawn_photo(seed)
    photo_import(
        data=data,
        label=other_species(name),
        split=split,
        origin=f"{seed}.jpg",
        mushroom_observer_id=None,
    )
    return Photo.objects.get(sha256=hashlib.sha256(data).hexdigest())


@pytest.fixture
def others(evaluation_photos) -> list[Photo]:
    """Freeze three evaluation photos of other species, and return them."""
    photos = [
        other_photo(800 + place, name, Photo.Split.EVALUATION) for place, name in enumerate(NAMES)
    ]
    evaluation_set_freeze(by=None, reason="others", kind=EvaluationSet.Kind.OTHERS)
    return photos


def test_an_evaluation_measures_what_is_none_of_the_species(production, others) -> None:
    evaluation_run(version_id=production.pk)
    evaluation = Evaluation.objects.get()
    scope = evaluation.metrics["scope"]
    assert (scope["auroc"]["n_known"], scope["auroc"]["n_other"]) == (8, 3)
    low, high = scope["auroc"]["ci95"]
    assert low <= scope["auroc"]["value"] <= high
    assert (scope["kept"]["n"], scope["passed"]["n"]) == (8, 3)
    genera = {row["genus"]: row["n"] for row in scope["per_genus"]}
    assert genera == {"Xerocomus": 2, "Hygrocybe": 1}
    assert evaluation.metrics["plausible"]["n"] == 8
    assert evaluation.metrics["plausible"]["mean_set_size"] >= 0
    assert evaluation.metrics["verdicts"]["random"]["n_photos"] == 11
    assert evaluation.metrics["others_set"] == evaluation_others().sha256
    assert evaluations_request(versions=[production]) is None
    answers = {each.name: each for each in evaluation.others.all()}
    assert answers.keys() == set(NAMES)
    assert {
        each.sha256: each.scope for each in answers.values()
    }.items() <= evaluation.scopes.items()
    passed = sum(each.in_scope for each in answers.values())
    assert passed == round(3 * scope["passed"]["share"])
    assert genera == Counter(each.genus for each in answers.values())
    assert all(each.answered in production.labels for each in answers.values())


def test_figures_without_the_answers_behind_them_are_measured_again(production, others) -> None:
    evaluation_run(version_id=production.pk)
    evaluation = Evaluation.objects.get()
    evaluation.others.all().delete()  # as an older ChampiPy stored it
    assert evaluations_request(versions=[production]) is not None
    evaluation_run(version_id=production.pk)
    assert evaluation.others.count() == 3
    assert Evaluation.objects.get() == evaluation


def test_the_figures_lead_to_the_photos_behind_them(admin, production, others) -> None:
    evaluation_run(version_id=production.pk)
    page = f"/admin/supervision/evaluation/{Evaluation.objects.get().pk}/"
    html = admin.get(f"{page}change/").content.decode()
    links = re.findall(rf'href="({page}others/[^"]+)"', html)
    assert len(links) == 2 + 2, "what became of them, and genera"
    counts = [admin.get(unescape(link)).content.decode().count("<article") for link in links]
    assert sum(counts[:2]) == sum(counts[2:]) == 3


def test_photos_of_genera_that_training_has_are_left_out(production, others) -> None:
    training = other_photo(900, "Suillus luteus", Photo.Split.TRAINING)
    Photo.objects.filter(pk=training.pk).update(other_name="Hygrocybe punicea")  # as a review may
    metrics = version_evaluate(
        version=production, held_out=evaluation_set(production.labels), others=evaluation_others()
    ).metrics
    assert [row["genus"] for row in metrics["scope"]["per_genus"]] == ["Xerocomus"]
    assert metrics["scope"]["passed"]["n"] == 2


def test_photos_of_others_that_come_later_are_measured_and_none_twice(
    production, evaluation_photos
) -> None:
    held_out = evaluation_set(production.labels)
    first = version_evaluate(version=production, held_out=held_out, others=None)
    assert (first.metrics["others_set"], first.metrics["scope"]["auroc"]) == (None, None)
    assert first.metrics["plausible"]["n"] == 8, "that needs no others"
    assert first.metrics["scope"]["kept"]["n"] == 8
    other_photo(801, "Xerocomus rubellus", Photo.Split.EVALUATION)
    evaluation_set_freeze(by=None, reason="others", kind=EvaluationSet.Kind.OTHERS)
    scored = []
    again = version_evaluate(
        version=production,
        held_out=held_out,
        others=evaluation_others(),
        on_photo=lambda: scored.append(1),
    )
    assert (again.pk, again.metrics["scope"]["auroc"]["n_other"]) == (first.pk, 1)
    assert len(scored) == 9
    version_evaluate(
        version=production,
        held_out=held_out,
        others=evaluation_others(),
        on_photo=lambda: scored.append(1),
    )
    assert len(scored) == 9, "it is stored"


def test_a_promotion_measures_again_when_the_set_of_others_has_changed(production, others) -> None:
    evaluation_run(version_id=production.pk)
    assert evaluations_request(versions=[production]) is None
    first = Evaluation.objects.get()
    known = set(first.answers.values_list("sha256", flat=True))
    assert len(known) == 8
    assert set(first.scopes) == known | {photo.sha256 for photo in others}
    assert all(0 <= scope <= 100 for scope in first.scopes.values())
    new = other_photo(850, "Xerocomus rubellus", Photo.Split.EVALUATION)
    evaluation_set_freeze(by=None, reason="more", kind=EvaluationSet.Kind.OTHERS)
    progress = evaluations_request(versions=[production])
    assert progress is not None
    assert (progress.done, progress.total, progress.error) == (0, 8 + 4, "")
    evaluation_run(version_id=production.pk)
    again = Evaluation.objects.get()
    assert (again.pk, again.metrics["scope"]["auroc"]["n_other"]) == (first.pk, 4)
    assert again.scopes.keys() - first.scopes.keys() == {new.sha256}
    assert evaluations_request(versions=[production]) is None


def test_a_set_of_others_whose_genera_all_come_along_is_said_to_be_so(
    production, evaluation_photos
) -> None:
    other_photo(860, "Agaricus campestris", Photo.Split.EVALUATION)
    evaluation_set_freeze(by=None, reason="others", kind=EvaluationSet.Kind.OTHERS)
    evaluation_run(version_id=production.pk)
    lines = "\n".join(answer_lines(Evaluation.objects.get().metrics))
    assert "all photos of other species are of genera that versions learn from" in lines
    assert "no photos of other species" not in lines
    card = "\n".join(answer_lines(production.metrics["out_of_fold"]))
    assert "\nAgaricus " in card
    assert "lily (no fungus) " in card
    assert "other agaricus" not in card


def test_a_version_without_calibration_is_measured_by_its_scores_alone(
    production, others, users
) -> None:
    uncalibrate_version(production)
    evaluation_run(version_id=production.pk)
    evaluation = Evaluation.objects.get()
    assert not {"scope", "plausible", "verdicts", "others_set"} & evaluation.metrics.keys()
    client = Client()
    client.force_login(users["bob"])
    page = client.get(f"/admin/supervision/evaluation/{evaluation.pk}/change/").content.decode()
    assert "not measured" in page


def test_command_and_pages_tell_figures_here_from_those_of_the_card(
    production: ModelVersion, others, users
) -> None:
    out = StringIO()
    call_command("evaluate_model", stdout=out)
    text = out.getvalue()
    here, card = text.split("by its card, out of fold on the training photos:")
    assert "3 photos of others" in here
    assert f"{production.metrics['out_of_fold']['n_other']} photos of others" in card
    assert "ms per photo, without decoding (int8)" in here
    for line in ("Xerocomus", "plausible species hold the right one:", "names supported, rightly:"):
        assert line in here
    client = Client()
    client.force_login(users["bob"])
    evaluation = Evaluation.objects.get()
    for path in (
        f"/admin/supervision/evaluation/{evaluation.pk}/change/",
        f"/admin/mlmodels/modelversion/{production.pk}/change/",
    ):
        page = client.get(path).content.decode()
        assert "3 photos of others" in page
        assert ">Xerocomus</a></th><td>2</td>" in page
        assert "without decoding (int8)" in page
        table = csv_rows(client.get(path.replace("change/", "tables/answers.csv")))
        assert table[0]["figure"] == "scope_auroc"
        assert table[0]["photos"] == "3"
    table = csv_rows(client.get(path.replace("change/", "tables/out-of-fold.csv")))
    assert table[0]["photos"] == str(production.metrics["out_of_fold"]["n_other"])
    assert table[-1]["figure"] == "names_with_a_verdict"
    assert "by its card, out of fold" in page
    assert f"{production.metrics['out_of_fold']['n_other']} photos of others" in page
