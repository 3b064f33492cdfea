"""What a version in Staging would have answered people otherwise: its figures and its page."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone

from mlmodels.models import ModelVersion, StageTransition
from mlmodels.services import version_promote
from predictions.models import Inference, Photo, Prediction, Shadow
from predictions.shadow_selectors import MAX_SHADOWS
from supervision.evaluations.admin import shadow_page
from supervision.evaluations.shadow import (
    NONE_KNOWN,
    Change,
    shadow_report,
    shadow_sentence,
)
from tests.support.rows import answered_prediction, inference_fields, version_row
from tests.support.spreadsheets import csv_rows

pytestmark = pytest.mark.django_db

ORANGE, FLY, INK = "Aleuria aurantia", "Amanita muscaria", "Coprinus comatus"
LIST = "/admin/mlmodels/modelversion/"


@pytest.fixture
def production(db: None) -> ModelVersion:
    return version_row(1)


@pytest.fixture
def staged(production: ModelVersion) -> ModelVersion:
    return version_row(2, "Staging")


def page_of(version: ModelVersion) -> str:
    return f"{LIST}{version.pk}/shadow/"


def scores(species: str, score: float, version: ModelVersion) -> dict[str, object]:
    others = (100 - score) / 9
    given = [score if name == species else others for name in version.labels]
    return inference_fields(version, given)


def said(
    production: ModelVersion,
    staged: ModelVersion,
    first: tuple[str, float],
    second: tuple[str, float] | None,
    **more: object,
) -> Photo:
    """Store a photo that somebody asked for, and what both versions say of it.

    Each says a species and its score, or NONE_KNOWN and how likely it shows none.
    """
    number = Photo.objects.count()
    photo = Photo.objects.create(
        sha256=f"{number:064}", file=f"{number}", bytes=1, width=9, height=9, perceptual_hash=number
    )
    for version, answer in ((production, first), (staged, second)):
        if answer is None:
            continue
        name, score = answer
        fields = scores(name or FLY, score if name else 90, version)
        fields |= {"in_scope": bool(name), "scope_score": 99 if name else 100 - score}
        inference = Inference.objects.create(photo=photo, model_version=version, **fields)
        if version == production:
            Prediction.objects.create(
                **{"file": "a", "is_upload": True, "status": "done", "inference": inference} | more
            )
    return photo


@pytest.fixture
def photos(production, staged) -> dict[str, Photo]:
    """Return a photo for each way in which two answers relate, by its name."""
    told = {
        "same": ((FLY, 95.0), (FLY, 60.0)),
        "none": ((NONE_KNOWN, 80.0), (NONE_KNOWN, 70.0)),
        "species": ((FLY, 95.0), (INK, 71.0)),
        "out": ((INK, 50.0), (NONE_KNOWN, 99.0)),
        "in": ((NONE_KNOWN, 60.0), (ORANGE, 88.0)),
    }
    return {name: said(production, staged, *answers) for name, answers in told.items()}


def test_answers_differ_in_species_and_in_scope(production, staged, photos) -> None:
    report = shadow_report(staged, production)
    share = report.otherwise
    assert share is not None
    assert (share.count, share.n, share.percent) == (3, 5, 60)
    assert share.interval == pytest.approx((23.07, 88.24), abs=0.01)  # by R's binom.wilson
    assert [(change, each.count, each.n) for change, each in report.by_change] == [
        (Change.SPECIES, 1, 5), (Change.OUT, 1, 5), (Change.IN, 1, 5),
    ]  # fmt: skip
    assert [(name, each.count, each.n) for name, each in report.by_answer] == [
        (FLY, 1, 2), (INK, 1, 1), (NONE_KNOWN, 1, 2),
    ]  # fmt: skip
    surest_first = [photos[name].pk for name in ("out", "in", "species")]
    assert [photo.photo_id for photo in report.changed()] == surest_first
    assert [photo.candidate.confidence for photo in report.changed()] == [99, 88, 71]
    assert [each.photo_id for each in report.changed(Change.IN)] == [photos["in"].pk]
    assert [each.photo_id for each in report.changed(current=INK)] == [photos["out"].pk]
    assert report.changed(Change.IN, current=INK) == []


def test_only_what_people_asked_for_lately_is_compared(production, staged, photos) -> None:
    long_ago = timezone.now() - timedelta(days=31)
    differing = (FLY, 95.0), (INK, 71.0)
    said(production, staged, *differing, created_at=long_ago)
    said(production, staged, *differing, is_background=True)
    said(production, staged, *differing, status="pending", inference=None)
    report = shadow_report(staged, production)
    assert len(report.photos) == 5
    other = version_row(3, "None")
    assert shadow_report(staged, other).otherwise is None, "nobody was answered by that one"


def test_a_version_without_scope_is_compared_by_its_species(production, staged) -> None:
    said(production, staged, (FLY, 95.0), (FLY, 60.0))
    Inference.objects.update(in_scope=None, scope_score=None)
    report = shadow_report(staged, production)
    assert report.otherwise is not None
    assert report.otherwise.count == 0


def test_the_page_shows_figures_and_photos(admin, production, staged, photos) -> None:
    photo = photos["species"]
    Photo.objects.filter(pk=photo.pk).update(label_source="predicted")
    page = admin.get(page_of(staged)).content.decode()
    text = " ".join(re.sub("<[^>]+>", " ", page).split())
    assert "60.0 %" in text
    assert "3 of 5 photos; 95 % interval 23.1 to 88.2 %." in text
    assert page.count('class="card"') == 3
    places = [page.index(f"/photo/{photos[name].pk}/thumbnail") for name in ("out", "in")]
    assert places == sorted(places)
    assert f'VGG16 2: <i class="species" lang="la">{INK}</i>' in page
    assert f"Photo: VGG16 2 says {INK}, 71.0 %; VGG16 1 says {FLY}, 95.0 %" in page
    assert "VGG16 2 says none of its species, 99.0 %" in page
    for query, expected in (
        ("change=out", ["out"]),
        ("answer=none", ["in"]),
        ("answer=Amanita+muscaria", ["species"]),
        ("change=nonsense&answer=<b>&page=x", []),
    ):
        chosen = admin.get(f"{page_of(staged)}?{query}")
        assert chosen.status_code == 200
        assert [card["answers"].photo_id for card in chosen.context["cards"]] == [
            photos[name].pk for name in expected
        ], query
        assert "<b>" not in chosen.content.decode()


def test_the_gallery_has_pages(admin, production, staged, photos, monkeypatch) -> None:
    monkeypatch.setattr(shadow_page, "PER_PAGE", 2)
    first = admin.get(f"{page_of(staged)}?answer=").content.decode()
    assert "Page 1 of 2" in first
    assert "page=2#photos" in first
    second = admin.get(f"{page_of(staged)}?page=2")
    assert [card["answers"].photo_id for card in second.context["cards"]] == [photos["species"].pk]
    assert admin.get(f"{page_of(staged)}?page=99").context["page"].number == 2


def test_photos_that_are_gone_or_reserved_are_not_shown(admin, production, staged, photos) -> None:
    Photo.objects.filter(pk=photos["in"].pk).update(file="")
    Photo.objects.filter(pk=photos["out"].pk).update(is_reserved=True)
    page = admin.get(page_of(staged)).content.decode()
    assert page.count("no longer stored, or nobody may be shown it") == 2
    assert page.count("/thumbnail") == 1


def test_only_administrators_see_it(users, production, staged, photos) -> None:
    Shadow.objects.create(model_version=staged, lost_workers=3)
    for name in (None, "alice"):
        client = Client()
        if name:
            client.force_login(users[name])
        for response in (client.get(page_of(staged)), client.post(page_of(staged))):
            assert response.status_code == 302
            assert response.headers["Location"].startswith("/admin/login/")
    assert Shadow.objects.get().lost_workers == 3


def test_the_page_says_how_far_it_is_and_what_is_in_the_way(
    admin, production, staged, settings
) -> None:
    def text() -> str:
        return " ".join(re.sub("<[^>]+>", " ", admin.get(page_of(staged)).content.decode()).split())

    assert "There are no photos to compare" in text()
    said(production, staged, (FLY, 95.0), None)
    assert "No photo is scored yet." in text()
    assert "0 of 1 photos are scored" in text()
    said(production, staged, (FLY, 95.0), (INK, 71.0))
    assert "1 of 2 photos are scored" in text()
    Shadow.objects.create(model_version=staged, error="The folder is <b>gone</b>.")
    page = admin.get(page_of(staged)).content.decode()
    assert "It cannot score photos: The folder is &lt;b&gt;gone&lt;/b&gt;." in page
    Shadow.objects.update(error="", lost_workers=Shadow.MAX_LOST_WORKERS)
    assert "3 workers died while they scored photos for it" in text()
    strict = Client(enforce_csrf_checks=True, headers={"cookie": admin.cookies.output(header="")})
    assert strict.post(page_of(staged)).status_code == 403
    assert "goes on scoring photos" in admin.post(page_of(staged), follow=True).content.decode()
    assert not Shadow.objects.exists()
    assert "1 of 2 photos are scored" in text()
    settings.CHAMPIPY_SHADOW_PHOTOS = 0
    assert "Shadows are switched off" in text()
    assert "1 of 1 photo;" in text(), "what it has said so far is still shown"
    settings.CHAMPIPY_SHADOW_PHOTOS = 500
    for number in range(MAX_SHADOWS):
        version_row(10 + number, "Staging")
    assert "Only the 3 newest versions in Staging" in text()


def test_a_version_that_was_never_in_staging_has_no_shadow(
    admin, production, staged, photos
) -> None:
    page = admin.get(page_of(production)).content.decode()
    assert "No version was in production while this one was in Staging" in page
    assert admin.get(f"{LIST}999999/shadow/").status_code == 404
    ModelVersion.objects.filter(pk=production.pk).update(stage="Archived")
    assert "No version is in production" in admin.get(page_of(staged)).content.decode()


def test_a_shadow_stays_readable_after_the_promotion_and_after_it_was_archived(
    admin, production, staged, photos
) -> None:
    """Another version takes its place, and people ask for more: its shadow stays as it was."""
    StageTransition.objects.create(
        model_version=production, from_stage="Staging", to_stage="Production", reason="first"
    )
    newest = version_row(3, "Staging")
    ModelVersion.objects.update(metrics={})
    version_promote(version=staged, by=None, reason="better", gate=lambda *pair: {})
    for _ in range(2):
        said(production, staged, (FLY, 95.0), (INK, 71.0))
        page = " ".join(re.sub("<[^>]+>", " ", admin.get(page_of(staged)).content.decode()).split())
        assert "While VGG16 2 was in Staging, until" in page
        assert "3 of 5 photos; 95 % interval 23.1 to 88.2 %." in page
        assert "VGG16 1: Coprinus comatus 50.0 %" in page
        assert page_of(staged) in admin.get(f"{LIST}{staged.pk}/change/").content.decode()
        version_promote(version=newest, by=None, reason="newer", gate=lambda *pair: {})
    Prediction.objects.all().delete()
    assert "it scored none in Staging" in admin.get(page_of(staged)).content.decode()


def test_its_tables_come_as_csv(admin, production, staged, photos) -> None:
    page = page_of(staged)
    changes = csv_rows(admin.get(f"{page}?csv=changes"))
    assert [(row["change"], row["photos"], row["of"], row["share"]) for row in changes] == [
        (change, "1", "5", "0.2") for change in ("species", "out", "in")
    ]
    answers = csv_rows(admin.get(f"{page}?csv=answers"))
    assert [(row["VGG16 1 answered"], row["otherwise"], row["of"]) for row in answers] == [
        (FLY, "1", "2"), (INK, "1", "1"), ("none", "1", "2"),
    ]  # fmt: skip
    html = admin.get(f"{page}?change=out").content.decode()
    links = [unescape(link) for link in re.findall(r'href="([^"]+)" download', html)]
    assert links == ["?csv=changes", "?csv=answers", "?change=out&csv=photos"]
    assert csv_rows(admin.get(page + links[2])) == [
        {
            **{"photo": str(photos["out"].pk), "change": "out"},
            **{"VGG16 2 answered": "none", "VGG16 2 percent": "99.0"},
            **{"VGG16 1 answered": INK, "VGG16 1 percent": "50.0"},
        }
    ]
    assert len(csv_rows(admin.get(f"{page}?csv=photos"))) == 3
    assert admin.get(f"{page}?csv=secrets").status_code == 404
    assert admin.get(f"{page_of(production)}?csv=photos").status_code == 404


def test_the_version_and_its_promotion_lead_to_it(admin, production, staged, photos) -> None:
    sentence = (
        "Of 5 photos that people asked for lately, it would have answered 3 otherwise than "
        "VGG16 1: 60.0 % (95 % interval 23.1 to 88.2 %)."
    )
    assert shadow_sentence(staged, production) == sentence
    assert shadow_sentence(production, production) == ""
    assert shadow_sentence(staged, None) == ""
    ModelVersion.objects.update(metrics={})
    promotion = admin.get(f"{LIST}{staged.pk}/promote/").content.decode()
    assert sentence in promotion
    for page in (promotion, admin.get(f"{LIST}{staged.pk}/change/").content.decode()):
        assert page_of(staged) in page
    Prediction.objects.all().delete()
    assert "It has scored no photo yet" in shadow_sentence(staged, production)


def test_the_page_takes_few_queries(
    admin, production, staged, photos, django_assert_max_num_queries
) -> None:
    for number in range(20):
        said(production, staged, (FLY, 95.0), (INK, 71.0 + number))
    answered_prediction(44, production)
    with django_assert_max_num_queries(16):
        admin.get(page_of(staged))
