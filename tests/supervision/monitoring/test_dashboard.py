"""The dashboard: contents, number of queries and permissions."""

import re
from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from accounts.models import User
from mlmodels.models import ModelVersion, StageTransition, TrainingRun
from predictions.feedback_services import feedback_give
from predictions.models import Inference, Photo, Prediction
from supervision.models import Alert, Disagreement, Evaluation
from supervision.monitoring import summaries
from supervision.monitoring.admin import dashboard
from supervision.monitoring.dashboard import (
    predictions_by_day,
    production_periods,
    storage_use,
)
from supervision.monitoring.summaries import (
    days_summarise,
    disagreements_note,
    storage_use_store,
    summaries_update,
)
from supervision.pictures.charts import accuracy_over_time_svg
from tests.support.rows import inference_fields, photo_rows, version_row
from tests.support.spreadsheets import csv_rows

pytestmark = pytest.mark.django_db

INDEX = "/admin/"


@pytest.fixture
def bobs(users: dict[str, User]) -> Client:
    client = Client()
    client.force_login(users["bob"])
    return client


def second_version(first: ModelVersion, **fields: object) -> ModelVersion:
    """Create a version like the first, without files."""
    return ModelVersion.objects.create(
        name="VGG16", version=2, labels=first.labels, input_size=224, preprocessing="x",
        temperature=1, files={}, card={}, **({"metrics": {}} | fields),
    )  # fmt: skip


def evaluation(version: ModelVersion, accuracy: float, name: str, at) -> Evaluation:
    made = Evaluation.objects.create(
        model_version=version, evaluation_set=name, accuracy=accuracy, n=100,
        metrics={"ci95": [accuracy - 0.05, accuracy + 0.05]},
    )  # fmt: skip
    Evaluation.objects.filter(pk=made.pk).update(evaluated_at=at)
    return made


def answered(version: ModelVersion, score: float, number: int) -> Photo:
    photo = Photo.objects.create(
        sha256=f"{number:064x}", file="none.jpg", bytes=2_000_000, width=1, height=1,
        perceptual_hash=number, label_id=1, split=Photo.Split.TRAINING, split_at=timezone.now(),
    )  # fmt: skip
    inference = Inference.objects.create(
        photo=photo, model_version=version, **inference_fields(version, [1.0, score])
    )
    Prediction.objects.create(
        file="x.jpg", is_upload=True, status=Prediction.Status.DONE, inference=inference
    )
    return photo


def test_page_is_for_administrators(users) -> None:
    alices = Client()
    alices.force_login(users["alice"])
    for browser in (Client(), alices):
        response = browser.get(INDEX)
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/admin/login/")


def test_page_of_an_empty_installation_says_what_to_do(bobs) -> None:
    html = bobs.get(INDEX).content.decode()
    assert "No version" in html
    assert "No prediction has been answered yet." in html
    assert "No run yet." in html
    assert "import_photos DIR --split evaluation" in html


def test_page_shows_model_accuracy_scores_and_new_photos(bobs, production) -> None:
    for number, score in enumerate((60.0, 80.0), start=1):
        answered(production, score, number)
    storage_use_store()
    html = bobs.get(INDEX).content.decode()
    assert "VGG16 1</a>" in html
    measured = production.metrics["evaluation"]
    low, high = measured["ci95"]
    assert f"{100 * measured['accuracy']:.1f} %" in html
    assert f"between {100 * low:.1f} and {100 * high:.1f} %" in html
    assert "Taken from the model card" in html
    assert "70.0 %" in html, "mean of 60 and 80"
    assert "best score of the last 2 answered predictions" in html
    assert "2 of 500" in html
    assert "2 answered and 0 failed" in html
    assert "photos 4 MB" in html
    assert "<title>Accuracy in production</title>" in html
    assert "<title>Predictions a day</title>" in html
    assert "Disk:" in html


def test_page_counts_labelled_photos_of_species_and_of_others(bobs, production) -> None:
    assert "--split training --other" in bobs.get(INDEX).content.decode()
    photo_rows(2)
    photos = list(Photo.objects.order_by("pk"))
    changes: list[dict] = [
        {"is_other": True, "label": None},
        {"is_other": True, "label": None, "other_name": "Boletus"},
        {"is_other": True, "label": None, "split": "evaluation"},
        {"split": "evaluation"},
        {"split": "evaluation", "excluded": True},
    ]
    for photo, fields in zip(photos, changes, strict=False):
        Photo.objects.filter(pk=photo.pk).update(**fields)
    page = " ".join(bobs.get(INDEX).content.decode().split())
    assert '<p class="figure">15</p> <p>for training and 1 for evaluation.' in page
    assert "Of other species</a>: 2 for training and 1 for evaluation." in page
    assert "--split training --other" not in page


def test_page_counts_new_photos_since_the_promotion(bobs, production) -> None:
    old = answered(production, 90, 1)
    answered(production, 90, 2)
    Photo.objects.filter(pk=old.pk).update(split_at=timezone.now() - timedelta(days=1))
    assert "1 of 500" in bobs.get(INDEX).content.decode()


def test_enough_new_photos_show_a_link_to_a_training(bobs, production, settings) -> None:
    settings.CHAMPIPY_NEW_PHOTOS = 1
    link = reverse("admin:mlmodels_trainingrun_start", args=["finetune"])
    assert link not in bobs.get(INDEX).content.decode()
    answered(production, 90, 1)
    assert link in bobs.get(INDEX).content.decode()


def test_accuracy_below_the_target_is_shown(bobs, production) -> None:
    evaluation(production, 0.62, "a" * 64, timezone.now())
    html = bobs.get(INDEX).content.decode()
    assert "62.0 %" in html
    assert "<strong>Below</strong> the target of 70 %" in html
    assert "Measured here" in html


def test_page_shows_the_last_runs_and_updates_live_ones(bobs, production, users) -> None:
    run = TrainingRun.objects.create(
        kind="train", parameters={"variables": 4}, status="running", attempt=1,
        progress={"percent": 12, "stage": "head", "epoch": 0, "epochs": 3, "eta_s": 200},
    )  # fmt: skip
    recent = reverse("admin:mlmodels_trainingrun_recent")
    html = bobs.get(INDEX).content.decode()
    assert f'data-live="{recent}"' in html
    assert 'value="12"' in html
    assert "3 minutes left" in html
    answer = bobs.get(recent).json()
    assert answer["is_live"] is True
    assert 'value="12"' in answer["html"]
    TrainingRun.objects.filter(pk=run.pk).update(status="cancelled")
    assert bobs.get(recent).json()["is_live"] is False
    assert "data-live" not in bobs.get(INDEX).content.decode()


def test_page_query_count_does_not_depend_on_the_amount_of_data(
    bobs, production, django_assert_num_queries, django_assert_max_num_queries
) -> None:
    answered(production, 80, 1)
    bobs.get(INDEX)
    with django_assert_max_num_queries(19) as few:
        bobs.get(INDEX)
    for number in range(2, 12):
        answered(production, 80, number)
        evaluation(production, 0.8, f"{number:064x}", timezone.now())
        TrainingRun.objects.create(kind="finetune", parameters={}, parent=production)
    with django_assert_num_queries(len(few)):
        bobs.get(INDEX)


def test_open_alert_is_shown_once(bobs, production) -> None:
    Alert.objects.create(
        kind=Alert.Kind.LOW_ACCURACY, model_version=production, value=62, threshold=70
    )
    html = bobs.get(INDEX).content.decode()
    assert html.count("The accuracy of VGG16 1 is 62.0 %") == 1


def test_pages_of_single_apps_have_no_dashboard(bobs, production) -> None:
    response = bobs.get("/admin/predictions/")
    assert response.status_code == 200
    assert 'id="dashboard"' not in response.content.decode()


def test_production_periods_have_the_accuracy_known_at_the_time(production) -> None:
    now = timezone.now()
    other = second_version(production)
    StageTransition.objects.update(created_at=now - timedelta(days=10))
    later = StageTransition.objects.create(
        model_version=other, from_stage="Staging", to_stage="Production", reason="better"
    )
    StageTransition.objects.filter(pk=later.pk).update(created_at=now - timedelta(days=4))
    evaluation(production, 0.7, "a" * 64, now - timedelta(days=6))
    evaluation(production, 0.1, "b" * 64, now - timedelta(days=2))  # archived by then
    evaluation(other, 0.8, "a" * 64, now - timedelta(days=5))  # before its period began
    evaluation(other, 0.9, "b" * 64, now - timedelta(days=1))
    first, second = production_periods()
    assert (first.version, second.version) == (production, other)
    assert [(one.accuracy, one.is_by_card) for one in first.measured] == [
        (production.metrics["evaluation"]["accuracy"], True),
        (0.7, False),
    ]
    assert [(one.accuracy, one.at) for one in second.measured] == [
        (0.8, now - timedelta(days=4)),
        (0.9, now - timedelta(days=1)),
    ]


def test_version_that_was_never_measured_has_a_period_without_accuracy(production) -> None:
    ModelVersion.objects.update(metrics={})
    assert [period.measured for period in production_periods()] == [()]


def test_predictions_by_day_leaves_out_what_champipy_asked_for_by_itself(production) -> None:
    answered(production, 80, 1)
    Prediction.objects.update(is_background=True)
    assert predictions_by_day(1) == [(timezone.localdate(), 0, 0)]


def test_predictions_by_day_includes_days_without_predictions(production) -> None:
    answered(production, 80, 1)
    Prediction.objects.create(
        file="x", is_upload=False, status=Prediction.Status.FAILED, error_code="not_an_image",
        created_at=timezone.now() - timedelta(days=2),
    )  # fmt: skip
    Prediction.objects.create(
        file="x", is_upload=False, status=Prediction.Status.FAILED, error_code="not_an_image",
        created_at=timezone.now() - timedelta(days=9),
    )  # fmt: skip
    today = timezone.localdate()
    assert predictions_by_day(4) == [
        (today - timedelta(days=3), 0, 0),
        (today - timedelta(days=2), 0, 1),
        (today - timedelta(days=1), 0, 0),
        (today, 1, 0),
    ]


def failed_days_ago(*ages: int) -> None:
    for age in ages:
        Prediction.objects.create(
            file="x", is_upload=False, status=Prediction.Status.FAILED, error_code="not_an_image",
            created_at=timezone.now() - timedelta(days=age),
        )  # fmt: skip


def midnight() -> datetime:
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)


def test_past_days_are_read_from_the_summary_but_today_is_counted_each_time(
    django_assert_num_queries,
) -> None:
    failed_days_ago(0, 1, 2, 3)
    assert [failed for _, _, failed in predictions_by_day(4)] == [1, 1, 1, 1]
    days_summarise(midnight() + timedelta(hours=1))
    Prediction.objects.all().delete()
    days_summarise(midnight() + timedelta(hours=1))  # counts no day twice
    with django_assert_num_queries(2) as read:
        assert [failed for _, _, failed in predictions_by_day(4)] == [1, 1, 1, 0]
    assert f"'{timezone.localdate()}T00:00:00" in read[1]["sql"]
    with timezone.override("Pacific/Auckland"):  # has other days
        assert [failed for _, _, failed in predictions_by_day(4)] == [0, 0, 0, 0]


@pytest.mark.parametrize("case", ["it has just ended", "a prediction of it is pending"])
def test_yesterday_is_counted_each_time_until_nothing_is_added_to_it(case) -> None:
    failed_days_ago(1, 2)
    if case == "a prediction of it is pending":
        now = midnight() + timedelta(hours=5)
        Prediction.objects.create(
            file="x", is_upload=False, created_at=midnight() - timedelta(hours=1)
        )
    else:
        now = midnight() + timedelta(minutes=59)
    days_summarise(now)
    Prediction.objects.all().delete()
    assert [failed for _, _, failed in predictions_by_day(3)] == [1, 0, 0]


@pytest.mark.parametrize("age", [timedelta(seconds=5), timedelta(days=9)])
def test_the_accuracy_is_not_drawn_into_the_future(bobs, monkeypatch, age) -> None:
    version = version_row()
    moved = StageTransition.objects.create(
        model_version=version, from_stage="Staging", to_stage="Production", reason="test"
    )
    began = timezone.now() - age
    StageTransition.objects.filter(pk=moved.pk).update(created_at=began)
    ends = []

    def draws(*data: object, until, **more: object) -> SafeString:
        ends.append(until)
        return accuracy_over_time_svg(*data, until=until, **more)

    monkeypatch.setattr(dashboard, "accuracy_over_time_svg", draws)
    ModelVersion.objects.update(
        metrics={"evaluation": {"accuracy": 0.9, "ci95": [0.8, 0.95], "n": 10}}
    )
    assert "Accuracy in production" in bobs.get(INDEX).content.decode()
    [end] = ends
    assert began < end <= timezone.now()


def test_bytes_are_those_of_the_user_who_asked_first(bobs, production, users) -> None:
    alice, clementine = users["alice"], users["clementine"]
    first, second, third, gone = (answered(production, 80, number) for number in range(4))
    for photo, user, reused in (
        (first, alice, False), (second, clementine, False), (third, alice, False),
        (gone, clementine, False), (second, alice, True),
    ):  # fmt: skip
        Prediction.objects.create(
            file="a", is_upload=True, status="done", inference=photo.inference_set.get(),
            user=user, reused=reused,
        )  # fmt: skip
    Prediction.objects.filter(user=None).delete()
    other = second_version(production)  # scores a photo again, for somebody else
    again = Inference.objects.create(
        photo=second, model_version=other, **inference_fields(other, [1, 99])
    )
    Prediction.objects.create(file="a", is_upload=True, status="done", inference=again, user=alice)
    Photo.objects.filter(pk=gone.pk).update(file="")
    storage_use_store()
    use = storage_use()
    assert use is not None
    assert use.photos == 6_000_000
    assert use.by_user == (("alice", 4_000_000), ("clementine", 2_000_000))
    assert "alice 4 MB, clementine 2 MB" in bobs.get(INDEX).content.decode()


def test_bytes_in_use_are_counted_once_an_hour(production, bobs) -> None:
    answered(production, 80, 1)
    assert storage_use() is None
    assert "is counted within a minute" in bobs.get(INDEX).content.decode()
    now = timezone.now()
    summaries_update(now=now)
    before = storage_use()
    assert before is not None
    answered(production, 80, 2)
    summaries_update(now=now + timedelta(minutes=50))
    assert storage_use() == before
    summaries_update(now=now + timedelta(minutes=70))
    after = storage_use()
    assert after is not None
    assert after.photos == 2 * before.photos


def test_bytes_are_counted_portion_by_portion(production, users, monkeypatch) -> None:
    monkeypatch.setattr(summaries, "PHOTOS_AT_A_TIME", 2)
    photos = [answered(production, 80, number) for number in range(5)]
    Prediction.objects.update(user=users["alice"])
    Prediction.objects.filter(inference__photo=photos[0]).update(user=users["bob"])
    assert storage_use_store()["by_user"] == [("alice", 8_000_000), ("bob", 2_000_000)]


def test_disagreements_of_versions_are_noted_a_portion_at_a_time(production, monkeypatch) -> None:
    monkeypatch.setattr(summaries, "INFERENCES_AT_A_TIME", 2)
    monkeypatch.setattr(summaries, "INFERENCES_AGAIN", 1)
    photos = [answered(production, 80, number) for number in range(3)]
    other = second_version(production)
    for photo, scores in ((photos[0], [99, 1]), (photos[1], [1, 99])):
        Inference.objects.create(
            photo=photo, model_version=other, **inference_fields(other, scores)
        )
    first_species = photos[0].inference_set.order_by("id").values_list("best_species", flat=True)
    assert len(set(first_species)) == 2
    assert disagreements_note() > 0
    while disagreements_note():
        pass
    assert [each.photo_id for each in Disagreement.objects.all()] == [photos[0].pk]
    assert disagreements_note() == 0  # and again, without a second row
    assert Disagreement.objects.count() == 1


def test_its_tables_come_as_csv(bobs, users, production) -> None:
    answered(production, 80.0, 1)
    prediction = Prediction.objects.get()
    feedback_give(prediction=prediction, user=users["alice"], name=production.labels[1])
    evaluation(production, 0.62, "a" * 64, timezone.now())
    html = bobs.get(INDEX).content.decode()
    links = re.findall(r'href="([^"]+)" download', html)
    assert links == [
        f"/admin/tables/{name}.csv" for name in ("accuracy", "predictions", "feedback")
    ]
    accuracy, predictions, feedback = (csv_rows(bobs.get(link)) for link in links)
    assert [(row["version"], row["photos"]) for row in accuracy][-1] == ("VGG16 1", "100")
    assert float(accuracy[-1]["accuracy"]) == 0.62
    assert len(predictions) == 30
    assert predictions[-1]["answered"] == "1"
    assert [(row["by"], row["answered"], row["agrees"]) for row in feedback] == [
        ("species", production.labels[1], "1.0"),
        ("score", "70 to 90 %", "1.0"),
    ]
    assert bobs.get("/admin/tables/secrets.csv").status_code == 404
    bobs.force_login(users["alice"])
    assert bobs.get(links[0]).status_code == 302
