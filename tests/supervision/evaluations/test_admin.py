"""The admin's pages of model versions: list, promotion, rollback and history."""

import hashlib
import re

import pytest
from django.test import Client
from django.urls import reverse

from common.wording import format_share
from mlmodels.ml.preprocessing import decode_photo
from mlmodels.models import ModelVersion, Species, StageTransition
from mlmodels.scoring import score_image
from mlmodels.selectors import production_version
from mlmodels.services import version_promote
from predictions.import_services import photo_import
from predictions.models import Photo
from supervision.datasets.selectors import evaluation_set
from supervision.datasets.services import evaluation_set_freeze
from supervision.evaluations.admin.figures import accuracy_text, calibration_text
from supervision.evaluations.admin.versions import ModelVersionAdmin
from supervision.evaluations.report import size_text
from supervision.evaluations.services import version_evaluate
from supervision.models import Evaluation
from tests.support.files import files_of
from tests.support.photos import drawn_photo
from tests.support.versions import another_version

pytestmark = pytest.mark.django_db

LIST = "/admin/mlmodels/modelversion/"
ROLLBACK = f"{LIST}rollback/"


def promote_path(version: ModelVersion) -> str:
    return f"{LIST}{version.pk}/promote/"


@pytest.fixture
def admin_page(users) -> Client:
    """Return a client in which bob is logged in; CSRF tokens are checked, as in production."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(users["bob"])
    return client


def post(client: Client, page: str, path: str, **fields: object):
    """Post a form with the CSRF token of `page`."""
    token = re.search(
        r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(page).content.decode()
    )
    return client.post(path, {**fields, "csrfmiddlewaretoken": token.group(1)}, follow=True)


def evaluate(version: ModelVersion) -> Evaluation:
    held_out = evaluation_set(version.labels)
    assert held_out is not None
    return version_evaluate(version=version, held_out=held_out)


@pytest.fixture
def evaluation_photos(production) -> list[str]:
    """Store six drawn photos, labelled as the production version answers; return their SHA-256."""
    for seed in range(800, 806):
        data = drawn_photo(seed)
        scores = score_image(production, decode_photo(data)).scores
        photo_import(
            data=data,
            label=Species.objects.get(name=production.labels[scores.index(max(scores))]),
            split=Photo.Split.EVALUATION,
            origin="",
            mushroom_observer_id=None,
        )
    evaluation_set_freeze(by=None, reason="test")
    return [hashlib.sha256(drawn_photo(seed)).hexdigest() for seed in range(800, 806)]


@pytest.mark.parametrize("path", [LIST, ROLLBACK, "promote"])
@pytest.mark.parametrize("who", [None, "alice"])
def test_only_administrators_can_open_the_pages(production, users, who, path) -> None:
    successor = another_version(temperature=0.5)
    version_promote(version=successor, by=None, reason="next")
    client = Client()
    if who:
        client.force_login(users[who])
    path = promote_path(production) if path == "promote" else path
    fields = {"reason": "mine", "override": "on", "leaving": successor.pk}
    for response in (client.get(path), client.post(path, fields)):
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/admin/login/")
    assert production_version() == successor
    assert StageTransition.objects.count() == 3


def test_versions_are_listed_and_sorted_by_accuracy(
    production, evaluation_photos, admin_page
) -> None:
    worse, unmeasured = another_version(temperature=0.5, shift=1), another_version(temperature=0.4)
    for version in (production, worse):
        evaluate(version)
    page = admin_page.get(LIST).content.decode()
    assert "100.0\xa0% (61.0\xa0% to 100.0\xa0%) of 6" in page
    assert "0.0\xa0% (0.0\xa0% to 39.0\xa0%) of 6" in page
    assert accuracy_text(production.metrics["evaluation"]) in page, "when it was made"
    assert page.count("Promote…") == 2
    assert "Roll back" not in page, "no version was in production before"
    column = 1 + ModelVersionAdmin.list_display.index("accuracy_here")  # after the checkboxes
    for order, expected in (
        (f"-{column}", [production, worse, unmeasured]),
        (f"{column}", [unmeasured, worse, production]),
    ):
        page = admin_page.get(LIST, {"o": order}).content.decode()
        places = [page.index(f"{LIST}{version.pk}/change/") for version in expected]
        assert places == sorted(places)


def test_the_list_takes_no_more_queries_for_three_versions_than_for_one(
    production, admin_page, django_assert_max_num_queries
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as one:
        admin_page.get(LIST)
    another_version(temperature=0.5)
    another_version(temperature=0.4)
    with django_assert_max_num_queries(len(one)):
        admin_page.get(LIST)


def test_a_version_shows_its_charts_and_its_history(production, users, admin_page) -> None:
    successor = another_version(temperature=0.5)
    version_promote(version=successor, by=users["bob"], reason="sharper <b>scores</b>")
    page = admin_page.get(f"{LIST}{successor.pk}/change/").content.decode()
    assert "<svg" in page
    assert "Staging → Production" in page
    assert "sharper &lt;b&gt;scores&lt;/b&gt;" in page
    assert "Promote…" not in page
    assert "Promote…" in admin_page.get(f"{LIST}{production.pk}/change/").content.decode()


def test_the_promotion_page_shows_both_versions_and_promotes(
    production, evaluation_photos, admin_page
) -> None:
    successor = another_version(temperature=0.5)
    page = admin_page.get(promote_path(successor)).content.decode()
    assert "0 of 12" in page
    assert 'http-equiv="refresh"' in page
    assert "<textarea" not in page
    for version in (production, successor):
        evaluate(version)
    page = admin_page.get(promote_path(successor)).content.decode()
    assert 'http-equiv="refresh"' not in page
    assert page.count("✓") == 6
    assert "✗" not in page
    assert "100.0\xa0% (61.0\xa0% to 100.0\xa0%), 6 of 6" in page
    assert "0 of 6" in page, "photos near training photos"
    assert 'name="override"' not in page, "the gate passed"
    refused = post(admin_page, promote_path(successor), promote_path(successor), reason=" ")
    assert "This field is required." in refused.content.decode()
    assert production_version() == production
    answer = post(admin_page, promote_path(successor), promote_path(successor), reason="sharper")
    assert answer.redirect_chain == [(LIST, 302)]
    assert f"{successor} is in production." in answer.content.decode()
    assert production_version() == successor
    newest = StageTransition.objects.first()
    assert (newest.by.username, newest.reason, newest.gate["passed"]) == ("bob", "sharper", True)
    history = admin_page.get(reverse("admin:mlmodels_stagetransition_changelist")).content.decode()
    assert "✓ target reached: 100.0 % of 6 evaluation photos, measured here" in history
    assert "is in production already" in admin_page.get(promote_path(successor)).content.decode()


def test_a_worse_version_shows_where_they_disagree_and_asks_for_an_override(
    production, evaluation_photos, admin_page
) -> None:
    worse = another_version(temperature=0.5, shift=1)
    for version in (production, worse):
        evaluate(version)
    page = admin_page.get(promote_path(worse)).content.decode()
    assert "p = 0.031" in page
    assert f"{production} is better, by more than chance explains" in page
    for sha256 in evaluation_photos:
        photo = Photo.objects.get(sha256=sha256)
        assert reverse("admin:predictions_photo_thumbnail", args=[photo.pk]) in page
    assert 'name="override"' in page
    before = StageTransition.objects.count()
    answer = post(admin_page, promote_path(worse), promote_path(worse), reason="try")
    assert "target reached" in answer.content.decode()
    assert (production_version(), StageTransition.objects.count()) == (production, before)
    post(admin_page, promote_path(worse), promote_path(worse), reason="a demo", override="on")
    assert production_version() == worse
    history = admin_page.get(reverse("admin:mlmodels_stagetransition_changelist")).content.decode()
    assert "Gate overridden" in history
    assert "✗ not worse" in history


def test_a_version_that_cannot_answer_cannot_be_promoted(production, admin_page) -> None:
    damaged = another_version(temperature=0.5)
    (files_of(damaged) / "engine.tflite").unlink()
    page = admin_page.get(promote_path(damaged)).content.decode()
    assert "✗ files intact" in page
    assert "<textarea" not in page


def test_rollback_takes_one_click_and_a_second_click_changes_nothing(
    production, admin_page
) -> None:
    versions = [production, another_version(temperature=0.5), another_version(temperature=0.4)]
    for version in versions[1:]:
        version_promote(version=version, by=None, reason="next")
    page = admin_page.get(LIST).content.decode()
    assert f"Roll back from {versions[2]} to {versions[1]}" in page
    leaving = versions[2].pk
    answer = post(admin_page, LIST, ROLLBACK, leaving=leaving)
    assert f"{versions[1]} is in production again." in answer.content.decode()
    answer = post(admin_page, LIST, ROLLBACK, leaving=leaving)
    assert "Nothing was changed" in answer.content.decode()
    assert production_version() == versions[1]
    assert admin_page.get(ROLLBACK).status_code == 405
    post(admin_page, LIST, ROLLBACK, leaving=versions[1].pk)
    assert production_version() == production


def test_forms_without_a_csrf_token_are_refused(production, admin_page) -> None:
    successor = another_version(temperature=0.5)
    version_promote(version=successor, by=None, reason="next")
    for path in (ROLLBACK, promote_path(production)):
        response = admin_page.post(path, {"leaving": successor.pk, "reason": "forged"})
        assert response.status_code == 403
    assert production_version() == successor


def test_history_can_be_neither_changed_nor_deleted(production, admin_page) -> None:
    transition = StageTransition.objects.get()
    base = f"/admin/mlmodels/stagetransition/{transition.pk}"
    assert admin_page.get(f"{base}/change/").status_code == 200
    for path in (f"{base}/change/", f"{base}/delete/", "/admin/mlmodels/stagetransition/add/"):
        assert post(admin_page, LIST, path, reason="another").status_code == 403
    assert StageTransition.objects.get() == transition


def test_the_page_of_an_evaluation_shows_photos_and_tables(
    production, evaluation_photos, admin_page
) -> None:
    worse = another_version(temperature=0.5, shift=1)
    for version in (production, worse):
        evaluate(version)
    path = "/admin/supervision/evaluation/{}/change/"
    page = admin_page.get(path.format(Evaluation.objects.get(model_version=worse).pk))
    html = page.content.decode()
    assert "Photos named wrongly, the surest first" in html
    assert "6 photos." in html
    assert "named 0 of 6 photos rightly" in html
    for sha256 in evaluation_photos:
        photo = Photo.objects.get(sha256=sha256)
        assert reverse("admin:predictions_photo_thumbnail", args=[photo.pk]) in html
        assert sha256 not in html, "no raw answers"
    assert '<table class="matrix">' in html
    assert "<title>Right answers by score</title>" in html
    page = admin_page.get(path.format(Evaluation.objects.get(model_version=production).pk))
    assert "No photo of the evaluation is like this." in page.content.decode()


def test_the_pages_of_a_measured_version_show_calibration_and_sizes(
    production, evaluation_photos, admin_page
) -> None:
    successor = another_version(temperature=0.5)
    evaluate(successor)
    evaluation = evaluate(production)
    metrics = evaluation.metrics
    assert sum(row["n"] for row in metrics["per_size"]) == 6
    size = size_text(metrics["per_size"][0])
    species = next(row for row in metrics["per_species"] if row["n"])
    low, high = species["ci95"]
    calibration = calibration_text(metrics)
    assert re.fullmatch(r"[\d.]+\s% \([\d.]+\s% to [\d.]+\s%\); ECE [\d.]+\s%", calibration), (
        "value, interval and the plain error"
    )
    for path in (
        f"{LIST}{production.pk}/change/",
        f"/admin/supervision/evaluation/{evaluation.pk}/change/",
    ):
        page = admin_page.get(path).content.decode()
        assert "<title>Right answers by score</title>" in page
        assert f'<tr><th scope="row">{size}</th><td>{metrics["per_size"][0]["n"]}</td>' in page
        assert f"<td>{format_share(low)} to {format_share(high)}</td>" in page
        assert calibration in page
    assert calibration in admin_page.get(promote_path(successor)).content.decode()


def test_pages_show_metrics_that_an_older_champipy_stored(
    production, evaluation_photos, admin_page
) -> None:
    successor = another_version(temperature=0.5)
    evaluate(successor)
    evaluation = evaluate(production)
    for name in ("calibration", "reliability", "per_size"):
        del evaluation.metrics[name]
    for row in evaluation.metrics["per_species"]:
        del row["ci95"]
    evaluation.save()
    ece = f"ECE {format_share(evaluation.metrics['ece'])}"
    for path in (
        LIST,
        f"{LIST}{production.pk}/change/",
        f"/admin/supervision/evaluation/{evaluation.pk}/change/",
        promote_path(successor),
    ):
        response = admin_page.get(path)
        assert response.status_code == 200
        assert "<title>Right answers by score" not in response.content.decode()
        assert ece in response.content.decode()
