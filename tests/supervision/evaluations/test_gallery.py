"""The photos behind an evaluation's figures: filters, pages, corrections, CSV, bounded work."""

import re
from typing import Any
from urllib.parse import unquote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mlmodels.models import ModelVersion, Species
from predictions.models import Photo
from supervision.evaluations.admin.photo_links import PhotoLinks
from supervision.evaluations.gallery import PhotoFilter
from supervision.models import Evaluation, EvaluationAnswer, EvaluationOther, PhotoReview
from tests.support.rows import evaluation_with, version_row
from tests.support.spreadsheets import csv_rows

pytestmark = pytest.mark.django_db

CAP, AGARIC, INK = "Mycena haematopus", "Amanita muscaria", "Coprinus comatus"
REVIEW = "/admin/predictions/photo/review/"


def sha256_of(number: int) -> str:
    return f"{number:064x}"


def photo_row(number: int, species: str) -> Photo:
    return Photo.objects.create(
        sha256=sha256_of(number), file="a", bytes=1, width=9, height=9, perceptual_hash=number,
        label=Species.objects.get(name=species), split=Photo.Split.EVALUATION,
        split_at=timezone.now(), label_source=Photo.LabelSource.IMPORTED,
    )  # fmt: skip


@pytest.fixture
def version(db: None) -> ModelVersion:
    return version_row()


@pytest.fixture
def evaluation(version: ModelVersion) -> Evaluation:
    """Return an evaluation of six photos, of which three are named wrongly."""
    answers = [
        (sha256_of(1), AGARIC, AGARIC, 99.0),
        (sha256_of(2), AGARIC, INK, 91.5),
        (sha256_of(3), AGARIC, INK, 62.0),
        (sha256_of(4), INK, INK, 88.0),
        (sha256_of(5), INK, AGARIC, 97.5),
        (sha256_of(6), CAP, CAP, 40.0),
    ]
    for number, (_, species, _, _) in enumerate(answers, start=1):
        if number != 3:  # the third photo is no longer stored
            photo_row(number, species)
    evaluation = evaluation_with(version, *answers)
    evaluation.metrics |= {
        "correct": 3, "ece": 0.1, "mean_score": 0.8, "per_species": [
            {"species": AGARIC, "n": 3, "accuracy": 1 / 3, "ci95": [0.1, 0.8]},
            {"species": INK, "n": 2, "accuracy": 0.5, "ci95": [0.1, 0.9]},
            {"species": CAP, "n": 1, "accuracy": 1.0, "ci95": [0.2, 1.0]},
        ],
        "reliability": [
            {"n": 2, "confidence": 0.51, "accuracy": 0.5, "ci95": [0.1, 0.9]},
            {"n": 2, "confidence": 0.89, "accuracy": 0.5, "ci95": [0.1, 0.9]},
            {"n": 2, "confidence": 0.98, "accuracy": 0.5, "ci95": [0.1, 0.9]},
        ],
        "confusion": confusion_of(version.labels, answers),
    }  # fmt: skip
    evaluation.save()
    for score_bin, numbers in enumerate([(6, 3), (4, 2), (5, 1)]):
        names = [sha256_of(number) for number in numbers]
        evaluation.answers.filter(sha256__in=names).update(score_bin=score_bin)
    return evaluation


def confusion_of(labels: list[str], answers: list[tuple[str, str, str, float]]) -> list[list[int]]:
    pairs = [(species, answered) for _, species, answered, _ in answers]
    return [[pairs.count((true, answered)) for answered in labels] for true in labels]


def page_of(evaluation: Evaluation) -> str:
    return reverse("admin:supervision_evaluation_change", args=[evaluation.pk])


def shown(html: str) -> list[tuple[str, str, str]]:
    """Return true species, answer and score of the photos on a page."""
    return re.findall(r'<article [^>]*aria-label="(.+?), named (.+?) with ([\d.]+) %"', html)


def test_the_page_begins_with_the_errors_and_the_surest_of_them(admin: Client, evaluation) -> None:
    html = admin.get(page_of(evaluation)).content.decode()
    assert shown(html) == [(INK, AGARIC, "97.5"), (AGARIC, INK, "91.5"), (AGARIC, INK, "62.0")]
    assert "3 photos." in html
    assert html.count("no longer stored") == 1
    photo = Photo.objects.get(sha256=sha256_of(5))
    assert reverse("admin:predictions_photo_change", args=[photo.pk]) in html
    assert f'alt="Photo {photo.pk}: {INK}, named {AGARIC} with 97.5 %"' in html
    assert "style=" not in html[html.index('id="content-main"') :]


def test_every_figure_leads_to_exactly_its_photos(admin: Client, evaluation) -> None:
    """Follow all links of the matrix, of the species and of the bars, and count the photos."""
    html = admin.get(page_of(evaluation)).content.decode()
    links = re.findall(
        r'<a href="(\?[^"]+|/[^"]+)#photos" aria-label="(\d+) photos? (?:of|with)', html
    )
    assert len(links) == 5 + 3, "cells that are not zero, and bars"
    for url, count in links:
        target = admin.get(unquote(url.replace("&amp;", "&")))
        assert len(shown(target.content.decode())) == int(count), url
    to = PhotoLinks(evaluation.pk)
    for url, photos in (
        (
            to.species(AGARIC),
            [(AGARIC, AGARIC, "99.0"), (AGARIC, INK, "91.5"), (AGARIC, INK, "62.0")],
        ),
        (to.cell(AGARIC, INK), [(AGARIC, INK, "91.5"), (AGARIC, INK, "62.0")]),
        (to.answered(INK), [(AGARIC, INK, "91.5"), (INK, INK, "88.0"), (AGARIC, INK, "62.0")]),
        (to.score_bin(0), [(AGARIC, INK, "62.0"), (CAP, CAP, "40.0")]),
        (to.errors(), [(INK, AGARIC, "97.5"), (AGARIC, INK, "91.5"), (AGARIC, INK, "62.0")]),
    ):  # fmt: skip
        assert url.replace("&", "&amp;") in html
        assert shown(admin.get(url.partition("#")[0]).content.decode()) == photos


@pytest.mark.parametrize(
    "query",
    [
        *("species=Boletus+edulis", "answered=%00", "rightness=perhaps"),
        *("score_bin=3", "score_bin=-1", "score_bin=9999999999999999999", "score_bin=x"),
    ],
)
def test_a_filter_that_means_nothing_is_not_found(admin: Client, evaluation, query: str) -> None:
    assert admin.get(f"{page_of(evaluation)}?{query}").status_code == 404
    photos = f"/admin/supervision/evaluation/{evaluation.pk}/photos.csv"
    assert admin.get(f"{photos}?{query}").status_code == 404


def test_only_administrators_see_the_photos(users, evaluation) -> None:
    client = Client()
    client.force_login(users["alice"])
    base = f"/admin/supervision/evaluation/{evaluation.pk}"
    for path in ("change/", "others/", "photos.csv", "tables/species.csv"):
        response = client.get(f"{base}/{path}")
        assert (response.status_code, response.headers["Location"][:13]) == (302, "/admin/login/")


def test_labels_are_corrected_from_the_gallery(users, evaluation) -> None:
    """Correct two selected photos, then one by its own button, and undo that."""
    bob = Client(enforce_csrf_checks=True)
    bob.force_login(users["bob"])
    page = page_of(evaluation)
    html = bob.get(page).content.decode()
    token = bob.cookies["csrftoken"].value
    photos = {n: Photo.objects.get(sha256=sha256_of(n)) for n in (2, 5)}
    fields = {"csrfmiddlewaretoken": token, "next": page}
    boxes = re.findall(r'name="photo" value="([^"]+)"', html)
    assert boxes == [f"{photos[5].pk}:{INK}", f"{photos[2].pk}:{AGARIC}"]
    answer = bob.post(
        REVIEW, {**fields, "photo": boxes, "verdict": "correct", "species": CAP}, follow=True
    )
    assert answer.redirect_chain == [(page, 302)]
    html = answer.content.decode()
    assert "2 photos corrected." in html
    assert html.count("labelled now") == 2
    assert len(shown(html)) == 3, "the figures are those of the frozen set"
    assert {photo.label.name for photo in Photo.objects.filter(reviews__isnull=False)} == {CAP}
    button = f"correct:{photos[2].pk}:{INK}"
    assert f'name="one" value="{button}"' in html
    answer = bob.post(REVIEW, {**fields, "one": button, "species": AGARIC}, follow=True)
    assert "1 photo corrected." in answer.content.decode()
    photos[2].refresh_from_db()
    assert photos[2].label.name == INK, "what the button says, not what the bar says"
    decision = re.search(r'name="decision" value="([^"]+)"', answer.content.decode())
    answer = bob.post(
        "/admin/predictions/photo/undo/", {**fields, "decision": decision.group(1)}, follow=True
    )
    assert answer.redirect_chain == [(page, 302)]
    photos[2].refresh_from_db()
    assert photos[2].label.name == CAP


@pytest.mark.parametrize(
    "page", ["https://evil.example/", "//evil.example/", "/\\evil.example", ""]
)
def test_a_review_leads_to_no_other_site(users, evaluation, page: str) -> None:
    bob = Client()
    bob.force_login(users["bob"])
    photo = Photo.objects.get(sha256=sha256_of(2))
    fields = {"one": f"correct:{photo.pk}:{INK}", "next": page}
    assert bob.post(REVIEW, fields).headers["Location"] == "/admin/predictions/photo/"
    assert PhotoReview.objects.count() == 1


def test_the_photos_come_as_csv(admin: Client, evaluation) -> None:
    Photo.objects.filter(sha256=sha256_of(2)).update(label=None, is_other=True, other_name="=1+1")
    path = f"/admin/supervision/evaluation/{evaluation.pk}/photos.csv"
    rows = csv_rows(admin.get(f"{path}?species={AGARIC}&answered={INK}&rightness=all"))
    assert [(row["sha256"], row["score"], row["label_now"]) for row in rows] == [
        (sha256_of(2), "91.5", "other species: =1+1"),
        (sha256_of(3), "62.0", ""),
    ]
    assert len(csv_rows(admin.get(path))) == 3, "the errors"
    assert len(csv_rows(admin.get(f"{path}?rightness=all"))) == 6


def test_the_tables_of_an_evaluation_come_as_csv(admin: Client, evaluation) -> None:
    tables = f"/admin/supervision/evaluation/{evaluation.pk}/tables"
    first, *_ = csv_rows(admin.get(f"{tables}/species.csv"))
    assert first == {
        **{"species": AGARIC, "photos": "3", "accuracy": str(1 / 3), "low": "0.1", "high": "0.8"}
    }
    matrix = {row["true_species"]: row for row in csv_rows(admin.get(f"{tables}/confusion.csv"))}
    assert (matrix[AGARIC][INK], matrix[INK][AGARIC], matrix[CAP][INK]) == ("2", "1", "0")
    assert len(csv_rows(admin.get(f"{tables}/reliability.csv"))) == 3
    for path in (f"{tables}/nothing.csv", "/admin/supervision/evaluation/0/tables/species.csv"):
        assert admin.get(path).status_code == 404


@pytest.fixture
def others(evaluation: Evaluation) -> Evaluation:
    """Add photos of other species to the evaluation, of which two were taken for its species."""
    told = [
        (11, "Xerocomus rubellus", "Xerocomus", INK, 91.0, True),
        (12, "Xerocomus ferrugineus", "Xerocomus", AGARIC, 20.0, False),
        (13, "", "find of 0d", CAP, 99.5, True),
    ]
    for number, name, genus, answered, scope, in_scope in told:
        EvaluationOther.objects.create(
            evaluation=evaluation, sha256=sha256_of(number), name=name, genus=genus,
            answered=answered, score=77.7, scope=scope, in_scope=in_scope,
        )  # fmt: skip
        if number != 13:  # the third photo is no longer stored
            photo = photo_row(number, INK)
            Photo.objects.filter(pk=photo.pk).update(label=None, is_other=True, other_name=name)
    return evaluation


def shown_others(response: Any) -> list[tuple[str, str]]:
    """Return names and scopes of the photos of other species on a page."""
    pattern = r'<article [^>]*aria-label="(.+?), ([\d.]+) % in scope"'
    return re.findall(pattern, response.content.decode())


def test_photos_of_other_species_are_shown_by_what_became_of_them(admin: Client, others) -> None:
    to = PhotoLinks(others.pk)
    page = to.others("passed").partition("?")[0]
    passed = [("an unknown species", "99.5"), ("Xerocomus rubellus", "91.0")]
    held_out = [("Xerocomus ferrugineus", "20.0")]
    assert shown_others(admin.get(page)) == passed
    assert shown_others(admin.get(to.others("passed"))) == passed
    assert shown_others(admin.get(to.others("held_out"))) == held_out
    assert shown_others(admin.get(to.genus("Xerocomus"))) == [passed[1], *held_out]
    assert shown_others(admin.get(f"{page}?answered={CAP}")) == passed[:1]
    html = admin.get(page).content.decode()
    assert f'<i lang="la">{INK}</i>, <strong>77.7 %</strong>' in html
    assert html.count("no longer stored") == 1
    rows = csv_rows(admin.get(f"{to.genus('Xerocomus')}&csv=photos"))
    assert [(row["name"], row["in_scope"]) for row in rows] == [
        ("Xerocomus rubellus", "True"), ("Xerocomus ferrugineus", "False"),
    ]  # fmt: skip
    for query in ("genus=Boletus", "answered=Boletus+edulis", "outcome=perhaps", "csv=secrets"):
        assert admin.get(f"{page}?{query}").status_code == 404, query


def test_an_evaluation_of_an_older_champipy_says_that_it_has_no_answers_to_others(
    admin: Client, evaluation
) -> None:
    """Its figures by genus lead here all the same."""
    page = admin.get(PhotoLinks(evaluation.pk).genus("Xerocomus"))
    assert "an older ChampiPy did not keep them" in page.content.decode()


def test_a_photo_of_another_species_is_corrected_from_its_page(users, others) -> None:
    bob = Client()
    bob.force_login(users["bob"])
    page = PhotoLinks(others.pk).others("passed")
    photo = Photo.objects.get(sha256=sha256_of(11))
    html = bob.get(page).content.decode()
    for button in (
        f"confirm:{photo.pk}:other species: Xerocomus rubellus",
        f"correct:{photo.pk}:{INK}",
    ):
        assert f'name="one" value="{button}"' in html
        answer = bob.post(REVIEW, {"one": button, "next": page}, follow=True)
        assert answer.redirect_chain == [(page, 302)]
    photo.refresh_from_db()
    assert photo.label.name == INK
    assert "labelled now" in answer.content.decode()


def test_a_hundred_thousand_answers_are_neither_read_nor_sorted(admin: Client, version) -> None:
    """Every query of the page takes at most some hundred rows, by an index in the right order."""
    evaluation = evaluation_with(version)
    evaluation.metrics |= {
        "ece": 0.1, "correct": 1, "per_species": [], "confusion": [[0] * 10] * 10,
        "reliability": [{"n": 9, "confidence": 0.9, "accuracy": 0.9, "ci95": [0.8, 1.0]}] * 10,
    }  # fmt: skip
    evaluation.save()
    labels = version.labels
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO supervision_evaluationanswer"
            " (evaluation_id, sha256, species, answered, score, is_right, score_bin)"
            " SELECT %s, lpad(to_hex(n), 64, '0'), (%s)[1 + n %% 10], (%s)[1 + n %% 7],"
            " (n * 7919) %% 10000 / 100.0, n %% 10 = n %% 7, n %% 10"
            " FROM generate_series(1, 100000) AS n",
            [evaluation.pk, labels, labels],
        )
        cursor.execute("ANALYZE supervision_evaluationanswer")
    for chosen in (
        PhotoFilter(rightness="wrong"),
        PhotoFilter(rightness="all"),
        PhotoFilter(species=labels[1], answered=labels[2]),
        PhotoFilter(answered=labels[3]),
        PhotoFilter(score_bin=4),
    ):
        plan = chosen.answers(evaluation)[:24].explain()
        assert "Index" in plan, plan
        assert "Seq Scan" not in plan, plan
        assert "Sort Key" not in plan or "Incremental" in plan, plan
    with CaptureQueriesContext(connection) as queries:
        html = admin.get(f"{page_of(evaluation)}?rightness=all&page=3").content.decode()
    assert len(shown(html)) == 24
    assert "The first 10000 photos." in html
    # Session and user, the evaluation, the frozen sets, the species, the count, the page, the
    # photos, what can be undone, and the banner of alerts.
    assert len(queries) <= 14, [query["sql"][:90] for query in queries]
    assert EvaluationAnswer.objects.count() == 100_000
