"""Review in the admin: filters, decisions by form and by key, and their effect on training."""

import re
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.db import connection
from django.test import Client
from django.utils import timezone

from mlmodels.models import ModelVersion, Species
from predictions.import_services import ImportOutcome, photo_import
from predictions.models import Inference, Photo, Prediction
from predictions.photo_services import photo_keep_for_training
from predictions.scoring_services import prediction_infer
from predictions.services import prediction_create
from supervision.datasets.selectors import training_dataset
from supervision.models import LabelDoubt
from supervision.monitoring.summaries import disagreements_note
from supervision.review.selectors import filter_named
from supervision.review.services import photo_exclude, photo_label
from tests.support.labelled_photos import SPECIES, ten_species
from tests.support.photos import drawn_photo
from tests.support.rows import inference_fields, photo_rows, version_row

pytestmark = pytest.mark.django_db
LIST = "/admin/predictions/photo/"
REVIEW = f"{LIST}review/"
FLY_AGARIC, INK_CAP = "Amanita muscaria", "Coprinus comatus"


def species(name: str) -> Species:
    return Species.objects.get_or_create(name=name)[0]


def scores_for(name: str, score: float) -> list[float]:
    rest = round((100 - score) / (len(SPECIES) - 1), 4)
    return [score if each == name else rest for each in SPECIES]


def answered_photo(
    number: int, name: str, score: float, version: ModelVersion, **fields: object
) -> Photo:
    """Store a photo, as a row without a file, and a version's answer to it."""
    photo = Photo.objects.create(
        sha256=f"{number:064x}", file="a", bytes=1, width=9, height=9,
        perceptual_hash=0x0F0F_1111_2222_3333 * (number + 1) % (1 << 63), **fields,
    )  # fmt: skip
    Inference.objects.create(
        photo=photo, model_version=version, **inference_fields(version, scores_for(name, score))
    )
    return photo


def state(photo: Photo) -> tuple:
    photo.refresh_from_db()
    return photo.label and photo.label.name, photo.label_source, photo.split, photo.excluded


@pytest.fixture
def version(db: None) -> ModelVersion:
    return version_row()


@pytest.fixture
def admin(users) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(users["bob"], backend="django.contrib.auth.backends.ModelBackend")
    return client


def send(client: Client, accept: str = "text/html", **fields: object):
    client.get(f"{LIST}?review=all")
    token = client.cookies["csrftoken"].value
    data = {**fields, "csrfmiddlewaretoken": token}
    return client.post(REVIEW, data, headers={"Accept": accept}, follow=True)


def listed(client: Client, query: str = "") -> list[int]:
    response = client.get(f"{LIST}?{query or 'review=all'}")
    assert response.status_code == 200
    return [int(pk) for pk in re.findall(r'data-photo="(\d+):', response.content.decode())]


def test_confirming_and_correcting_records_the_reviewer_and_makes_training_photos(
    users, version
) -> None:
    bob = users["bob"]
    low = answered_photo(1, FLY_AGARIC, 40, version)
    wrong = answered_photo(2, FLY_AGARIC, 40, version)
    photo_label(photo=low, species=species(FLY_AGARIC), by=bob)
    photo_label(photo=wrong, species=species(INK_CAP), by=bob)
    assert state(low) == (FLY_AGARIC, "confirmed", "training", False)
    assert state(wrong) == (INK_CAP, "corrected", "training", False)
    assert low.reviewed_by == wrong.reviewed_by == bob
    # A repetition by somebody else changes nothing.
    before = Photo.objects.values().get(pk=wrong.pk)
    photo_label(photo=wrong, species=species(INK_CAP), by=users["admin"])
    assert Photo.objects.values().get(pk=wrong.pk) == before


def test_an_excluded_photo_stays_out_until_it_is_labelled(users, version) -> None:
    bob = users["bob"]
    photo = answered_photo(3, FLY_AGARIC, 90, version)
    photo_keep_for_training(photo=photo, species_name=FLY_AGARIC)
    assert state(photo) == (FLY_AGARIC, "predicted", "training", False)
    photo_exclude(photo=photo, by=bob)
    assert state(photo) == (FLY_AGARIC, "predicted", "", True)
    assert not photo_keep_for_training(photo=photo, species_name=FLY_AGARIC)
    before = Photo.objects.values().get(pk=photo.pk)
    photo_exclude(photo=photo, by=users["admin"])
    assert Photo.objects.values().get(pk=photo.pk) == before
    photo_label(photo=photo, species=species(FLY_AGARIC), by=bob)
    assert state(photo) == (FLY_AGARIC, "confirmed", "training", False)


def test_an_excluded_photo_is_neither_kept_nor_imported(users, version) -> None:
    data = drawn_photo(920)
    given = {"label": species(FLY_AGARIC), "split": "training", "mushroom_observer_id": None}
    assert photo_import(data=data, origin="a", **given).outcome == ImportOutcome.NEW
    photo = Photo.objects.get()
    photo_exclude(photo=photo, by=users["bob"])
    assert photo_import(data=data, origin="a", **given).outcome == ImportOutcome.EXCLUDED
    flower = answered_photo(4, FLY_AGARIC, 60, version)  # without a label, and of no known species
    photo_exclude(photo=flower, by=users["bob"])
    flower.refresh_from_db()
    assert not photo_keep_for_training(photo=flower, species_name=FLY_AGARIC)
    assert state(flower) == (None, "", "", True)


def test_a_photo_like_an_evaluation_photo_is_labelled_but_not_trained_on(users, version) -> None:
    bob = users["bob"]
    evaluation = answered_photo(
        5, FLY_AGARIC, 90, version, label=species(FLY_AGARIC), label_source="imported",
        split="evaluation", split_at=timezone.now(), mushroom_observer_id=5000,
    )  # fmt: skip
    lookalike = answered_photo(6, FLY_AGARIC, 60, version)
    Photo.objects.filter(pk=lookalike.pk).update(perceptual_hash=evaluation.perceptual_hash)
    photo_label(photo=lookalike, species=species(FLY_AGARIC), by=bob)
    assert state(lookalike) == (FLY_AGARIC, "confirmed", "", False)
    # The correction makes this training photo the same find as an evaluation photo.
    find = answered_photo(
        7, INK_CAP, 90, version, label=species(INK_CAP), label_source="predicted",
        split="training", split_at=timezone.now(), mushroom_observer_id=5002,
    )  # fmt: skip
    photo_label(photo=find, species=species(FLY_AGARIC), by=bob)
    assert state(find) == (FLY_AGARIC, "corrected", "", False)
    # The evaluation photo itself stays in its split.
    photo_exclude(photo=evaluation, by=bob)
    assert state(evaluation) == (FLY_AGARIC, "imported", "evaluation", True)
    photo_label(photo=evaluation, species=species(INK_CAP), by=bob)
    assert state(evaluation) == (INK_CAP, "corrected", "evaluation", False)


def test_reviewed_photos_are_chosen_before_more_recent_ones(users) -> None:
    photo_rows(13)
    start = timezone.now() - timedelta(days=30)
    for number, photo in enumerate(Photo.objects.order_by("pk")):
        Photo.objects.filter(pk=photo.pk).update(
            split_at=start + timedelta(hours=number),
            label_source="predicted",
            perceptual_hash=int(photo.sha256[:15], 16),  # each is a separate find
        )
    oldest = Photo.objects.filter(label=species(FLY_AGARIC)).order_by("split_at")[0]
    newest = {
        photo.sha256
        for each in ten_species()
        for photo in Photo.objects.filter(label=each).order_by("-split_at")[:10]
    }

    def chosen() -> set[str]:
        dataset = training_dataset(limit=100, seed=0)
        return {photo.sha256 for photo in (*dataset.training, *dataset.validation)}

    assert newest == chosen()
    assert oldest.sha256 not in chosen()
    photo_label(photo=oldest, species=species(FLY_AGARIC), by=users["bob"])
    assert oldest.sha256 in chosen()
    assert chosen() == chosen()


def test_filters_choose_and_order(admin, version, django_assert_max_num_queries) -> None:
    second = version_row(2, "Archived")
    sure = answered_photo(11, FLY_AGARIC, 95, version, origin="https://example.org/a.jpg")
    low = answered_photo(12, INK_CAP, 30, version)
    lower = answered_photo(13, INK_CAP, 20, version)
    disputed = answered_photo(14, FLY_AGARIC, 90, version)
    Inference.objects.create(
        photo=disputed, model_version=second, **inference_fields(second, scores_for(INK_CAP, 80))
    )
    Inference.objects.create(  # another score, the same species
        photo=sure, model_version=second, **inference_fields(second, scores_for(FLY_AGARIC, 75))
    )
    imported = answered_photo(
        15, FLY_AGARIC, 90, version, label=species(FLY_AGARIC), label_source="imported",
        split="training", split_at=timezone.now(),
    )  # fmt: skip
    excluded = answered_photo(
        16, FLY_AGARIC, 90, version, excluded=True, reviewed_at=timezone.now()
    )
    disagreements_note()
    with django_assert_max_num_queries(17):
        everything = listed(admin)
    newest_first = [photo.pk for photo in (excluded, imported, disputed, lower, low, sure)]
    assert everything == newest_first
    assert listed(admin, "review=waiting") == [p.pk for p in (disputed, lower, low, sure)]
    assert listed(admin, "review=reviewed") == []
    assert listed(admin, "review=excluded") == [excluded.pk]
    assert listed(admin, "doubt=score") == [lower.pk, low.pk], "the lowest first"
    assert listed(admin, "doubt=versions") == [disputed.pk]
    assert listed(admin, "species=Coprinus+comatus") == [disputed.pk, lower.pk, low.pk]
    assert listed(admin, "q=example.org") == [sure.pk]
    counted = admin.get(f"{LIST}?_facets=True").content.decode()
    assert "versions disagree (1)" in counted
    assert "low score: 70 % or less (2)" in counted
    assert listed(admin, "species=coprinus_comatus+(O.F.+Müll.)+Pers.") == [
        *(disputed.pk, lower.pk, low.pk)
    ]
    assert listed(admin, "species=Coprinus+comatus&doubt=score&review=waiting") == [
        lower.pk,
        low.pk,
    ]


def test_filters_look_at_the_newest_answer_only(admin, version) -> None:
    second = version_row(2, "Archived")
    rose, fell = (answered_photo(n, FLY_AGARIC, s, version) for n, s in ((17, 30), (18, 90)))
    for photo, score in ((rose, 90), (fell, 30)):
        Inference.objects.create(
            photo=photo, model_version=second,
            **inference_fields(second, scores_for(INK_CAP, score)),
        )  # fmt: skip
    never_scored = Photo.objects.create(
        sha256="f" * 64, file="a", bytes=1, width=9, height=9, perceptual_hash=0
    )
    assert listed(admin, "doubt=score") == [fell.pk]
    assert listed(admin, "species=Amanita+muscaria") == []
    assert listed(admin, "species=Coprinus+comatus") == [fell.pk, rose.pk]
    assert listed(admin) == [never_scored.pk, fell.pk, rose.pk]
    lower = answered_photo(19, FLY_AGARIC, 20, second)
    assert listed(admin, "doubt=score") == [lower.pk, fell.pk]


def test_doubted_labels_are_listed_until_they_are_reviewed(admin, users, version) -> None:
    photo_rows(1)
    photos = list(Photo.objects.order_by("pk")[:4])
    for photo, doubt in zip(photos, (0.9, 0.99, 0.7, 0.2), strict=True):
        assert photo.label is not None
        likelier = photo.label if doubt == 0.2 else species(INK_CAP)
        LabelDoubt.objects.create(
            photo=photo, label=photo.label, doubt=doubt, likelier=likelier, method="test",
            audited_at=timezone.now(),
        )  # fmt: skip
    # The third photo is labelled ink cap itself.
    LabelDoubt.objects.filter(photo=photos[2]).update(likelier=species(FLY_AGARIC))
    assert listed(admin, "doubt=label") == [photos[1].pk, photos[0].pk, photos[2].pk]
    photo_label(photo=photos[1], species=photos[1].label, by=users["bob"])
    photo_label(photo=photos[0], species=species(INK_CAP), by=users["bob"])
    assert listed(admin, "doubt=label") == [photos[2].pk]


def test_a_card_shows_scores_model_origin_and_user(admin, users, version) -> None:
    url = "https://mushroomobserver.org/images/640/777.jpg"
    photo = answered_photo(21, FLY_AGARIC, 61.25, version, origin=url, mushroom_observer_id=777)
    for name in ("alice", "alice", "clementine"):
        Prediction.objects.create(
            user=users[name], file=url, is_upload=False, status="done",
            inference=photo.inference_set.get(),
        )  # fmt: skip
    hostile = answered_photo(22, INK_CAP, 50, version, origin="javascript:alert(1)<script>")
    page = admin.get(f"{LIST}?review=all").content.decode()
    assert "VGG16 1:" in page
    assert "61.3&nbsp;%" in page
    assert "https://mushroomobserver.org/images/777" in page
    assert "asked by alice, clementine" in page
    assert "javascript:alert(1)&lt;script&gt;" in page
    assert 'href="javascript' not in page
    own = admin.get(f"{LIST}{photo.pk}/change/").content.decode()
    assert "What the versions say" in own
    assert f"Confirm {FLY_AGARIC}" in own
    assert admin.get(f"{LIST}{hostile.pk}/picture").status_code == 404, "a row without a file"


def test_many_photos_are_reviewed_at_once(admin, users, version) -> None:
    photos = [answered_photo(30 + number, FLY_AGARIC, 50, version) for number in range(30)]
    assert len(listed(admin)) == 24
    chosen = [f"{photo.pk}:{FLY_AGARIC}" for photo in photos[-24:]]
    page = send(admin, verdict="confirm", photo=chosen, query="doubt=score")
    assert page.redirect_chain == [(f"{LIST}?doubt=score", 302)]
    assert "24 photos confirmed." in page.content.decode()
    assert Photo.objects.filter(label_source="confirmed", split="training").count() == 24
    send(admin, verdict="correct", species=INK_CAP, photo=[f"{photos[0].pk}:{FLY_AGARIC}"])
    assert state(photos[0]) == (INK_CAP, "corrected", "training", False)
    send(admin, verdict="exclude", photo=[f"{photo.pk}:" for photo in photos[1:3]])
    assert [state(photo)[3] for photo in photos[:4]] == [False, True, True, False]
    send(admin, one=f"confirm:{photos[3].pk}:{FLY_AGARIC}", photo=[f"{photos[4].pk}:{INK_CAP}"])
    assert state(photos[3]) == (FLY_AGARIC, "confirmed", "training", False)
    assert state(photos[4]) == (None, "", "", False), (
        "selected, but another photo's button was pressed"
    )


def test_confirming_confirms_what_the_page_showed(admin, version) -> None:
    photo = answered_photo(70, FLY_AGARIC, 60, version)
    newer = version_row(2, "Archived")
    Inference.objects.create(
        photo=photo, model_version=newer, **inference_fields(newer, scores_for(INK_CAP, 60))
    )
    send(admin, one=f"confirm:{photo.pk}:{FLY_AGARIC}")
    assert state(photo) == (FLY_AGARIC, "corrected", "training", False)


def test_what_a_shadow_says_is_shown_and_believed_nowhere(admin, version) -> None:
    photo = answered_photo(72, FLY_AGARIC, 90, version)
    shadow = version_row(2, "Staging")
    Inference.objects.create(
        photo=photo, model_version=shadow, **inference_fields(shadow, scores_for(INK_CAP, 30))
    )
    disagreements_note()
    assert listed(admin, "species=Amanita+muscaria") == [photo.pk]
    assert listed(admin, "species=Coprinus+comatus") == []
    assert listed(admin, "doubt=score") == []
    assert listed(admin, "doubt=versions") == [photo.pk], "worth a look"
    assert "VGG16 2" in admin.get(f"{LIST}?review=all").content.decode()
    send(admin, one=f"confirm:{photo.pk}:{FLY_AGARIC}")
    assert state(photo) == (FLY_AGARIC, "confirmed", "training", False)


def test_a_decision_by_key_returns_the_new_card_of_the_photo(admin, version) -> None:
    photo = answered_photo(71, FLY_AGARIC, 60, version)
    fields = {"verdict": "correct", "species": INK_CAP, "photo": f"{photo.pk}:{FLY_AGARIC}"}
    body = send(admin, "application/json", **fields).json()
    assert body["said"] == "1 photo corrected."
    assert f'data-photo="{photo.pk}:{INK_CAP}"' in body["cards"][0]
    bad = send(admin, "application/json", **{**fields, "species": "Boletus edulis"})
    assert (bad.status_code, "is not a known species" in bad.content.decode()) == (400, True)
    assert state(photo) == (INK_CAP, "corrected", "training", False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"verdict": "confirm"}, "No photo was selected"),
        ({"verdict": "delete", "photo": "1:"}, "Choose what to do"),
        ({"verdict": "correct", "photo": "PK:Amanita muscaria"}, "no species was chosen"),
        ({"verdict": "confirm", "photo": "PK:Boletus"}, "is not a known species"),
        ({"verdict": "confirm", "photo": ["PK:Amanita muscaria", "999999:x"]}, "There is no photo"),
        ({"verdict": "exclude", "photo": "x:"}, "does not name a photo"),
        ({"one": "confirm"}, "does not name a photo"),
    ],
)
def test_an_invalid_form_changes_nothing(admin, version, fields, message) -> None:
    photo = answered_photo(72, FLY_AGARIC, 60, version)
    chosen = fields.get("photo", [])
    chosen = chosen if isinstance(chosen, list) else [chosen]
    fields = {**fields, "photo": [value.replace("PK", str(photo.pk)) for value in chosen]}
    before = list(Photo.objects.values())
    page = send(admin, **fields).content.decode()
    assert "Nothing was changed" in page
    assert message in page
    assert list(Photo.objects.values()) == before


@pytest.mark.parametrize("who", [None, "alice"])
def test_only_administrators_can_review(users, version, who: str | None) -> None:
    photo = answered_photo(73, FLY_AGARIC, 60, version)
    client = Client()
    if who:
        client.force_login(users[who], backend="django.contrib.auth.backends.ModelBackend")
    before = list(Photo.objects.values())
    fields = {"one": f"confirm:{photo.pk}:{FLY_AGARIC}"}
    own = f"{LIST}{photo.pk}/"
    answers = [client.get(path) for path in (LIST, f"{own}change/", f"{own}picture")]
    answers.append(client.post(REVIEW, fields))
    answers.append(client.post(REVIEW, fields, headers={"Accept": "application/json"}))
    for response in answers:
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/admin/login/")
    assert list(Photo.objects.values()) == before


def test_a_decision_needs_a_csrf_token_and_a_post(admin, version) -> None:
    photo = answered_photo(74, FLY_AGARIC, 60, version)
    assert admin.post(REVIEW, {"one": f"exclude:{photo.pk}:"}).status_code == 403
    assert admin.get(REVIEW).status_code == 405
    assert state(photo) == (None, "", "", False)


def test_an_upload_is_found_by_its_file_name_which_is_no_address(admin, production) -> None:
    data = drawn_photo(95)
    prediction = prediction_create(
        user=None,
        file=ContentFile(data, name="red cap 1520.jpg"),
        nb_preds=1,
        version=production,
        send=lambda prediction: None,
    )
    prediction_infer(prediction_id=prediction.pk)
    photo = Photo.objects.get(sha256=prediction.sha256)
    assert (photo.origin, photo.mushroom_observer_id) == ("red cap 1520.jpg", None)
    assert listed(admin, "q=Red+cap") == [photo.pk]
    assert listed(admin, "q=1520") == listed(admin, "q=%25") == listed(admin, "q=blue+cap") == []


def test_a_photo_is_found_by_the_beginnings_of_its_names_with_indexes(version) -> None:
    photo = answered_photo(94, FLY_AGARIC, 61.25, version)
    url = "https://Example.org/päth/Cap_1520.jpg?" + "ä" * 900
    Photo.objects.filter(pk=photo.pk).update(origin=url)
    Photo.objects.create(sha256="1" * 64, bytes=1, width=99, height=99, perceptual_hash=0)
    for term in ("example.ORG/PÄTH", "https://example.org", "cap_1520", photo.sha256[:9].upper()):
        assert list(filter_named(Photo.objects.all(), term)) == [photo], term
    for term in ("1520", "org", "cap%", "example_org", "https://example.org/other"):
        assert list(filter_named(Photo.objects.all(), term)) == [], term
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = filter_named(Photo.objects.order_by(), "cap").explain()
    assert "Seq Scan" not in plan
    assert "photos_by_address" in plan and "photos_by_file_name" in plan
