"""The admin pages of training runs: permissions, contents, starting and cancelling runs."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from common.wording import format_share
from mlmodels.models import ModelVersion, Species, TrainingRun
from predictions.models import Photo

pytestmark = pytest.mark.django_db

Status = TrainingRun.Status
HISTORY = [
    {"epoch": 0, "loss": None, "accuracy": 0.8125, "nll": 0.62, "seconds": 40.0},
    {"epoch": 1, "loss": 1.234, "accuracy": 0.8375, "nll": 0.58, "seconds": 95.0},
]
DATASET = {
    "labels": ["Amanita muscaria", "Mycena haematopus"],
    "training": [["a" * 64, 0], ["b" * 64, 0], ["c" * 64, 1]],
    "validation": [["d" * 64, 1]],
}
KINDS = ("train", "finetune", "search")
FORM_DATA = {
    "train": {"variables": 4, "epochs": 10},
    "finetune": {"variables": 1, "epochs": 3},
    "search": {"trials": 5, "minutes": 10},
}


def page(name: str, *args: object) -> str:
    return reverse(f"admin:mlmodels_trainingrun_{name}", args=args)


def client_for(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def bobs(users: dict[str, User]) -> Client:
    """Return a browser in which Bob, an administrator, is logged in."""
    return client_for(users["bob"])


@pytest.fixture
def run(users: dict[str, User], production: ModelVersion) -> TrainingRun:
    """Return a fine-tuning that has run for two minutes."""
    now = timezone.now()
    return TrainingRun.objects.create(
        kind=TrainingRun.Kind.FINETUNE,
        status=Status.RUNNING,
        parameters={"variables": 4, "epochs": 10, "minutes": 30, "seed": 0},
        parent=production,
        requested_by=users["bob"],
        progress={"percent": 41.6, "stage": "layers", "epoch": 2, "epochs": 10, "eta_s": 431},
        history=HISTORY,
        dataset=DATASET,
        dataset_sha256="f" * 64,
        attempt=1,
        started_at=now - timedelta(minutes=2),
        heartbeat_at=now,
    )


@pytest.fixture
def enough_photos(production: ModelVersion) -> None:
    now = timezone.now()
    Photo.objects.bulk_create(
        Photo(
            sha256=f"{species.pk:032x}{n:032x}", file="none.jpg", bytes=1, width=1, height=1,
            perceptual_hash=n, label=species, label_source=Photo.LabelSource.IMPORTED,
            split=Photo.Split.TRAINING, split_at=now,
        )
        for species in Species.objects.all()
        for n in range(10)
    )  # fmt: skip


def test_pages_of_runs_are_for_administrators(users, run) -> None:
    paths = [
        page("changelist"),
        page("change", run.pk),
        page("progress", run.pk),
        page("recent"),
        page("manifest", run.pk),
        page("cancel", run.pk),
        *(page("start", kind) for kind in KINDS),
    ]
    for browser in (Client(), client_for(users["alice"])):
        for path in paths:
            for response in (browser.get(path), browser.post(path, FORM_DATA["train"])):
                assert response.status_code == 302, path
                assert response.headers["Location"].startswith("/admin/login/"), path
    run.refresh_from_db()
    assert run.status == Status.RUNNING
    assert TrainingRun.objects.count() == 1
    bobs = client_for(users["bob"])
    assert {path: bobs.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)


def test_staff_without_permission_for_runs_is_refused(users, run) -> None:
    User.objects.filter(username="alice").update(is_staff=True)
    browser = client_for(users["alice"])
    for path in (page("progress", run.pk), page("cancel", run.pk), page("start", "train")):
        assert browser.post(path, FORM_DATA["train"]).status_code == 403, path
    run.refresh_from_db()
    assert run.status == Status.RUNNING
    assert TrainingRun.objects.count() == 1


def test_page_of_a_running_run_shows_its_progress(bobs, run) -> None:
    html = bobs.get(page("change", run.pk)).content.decode()
    assert "training the chosen layers" in html
    assert "epoch 2 of 10" in html
    assert "About 7 minutes left" in html
    assert '<progress max="100" value="42"' in html
    assert "<title>Learning curves</title>" in html
    assert "1.234" in html
    assert "83.8\xa0%" in html
    assert f'data-live="{page("progress", run.pk)}"' in html
    assert page("cancel", run.pk) in html
    assert "f" * 64 in html
    assert "<td>2</td><td>0</td>" in html.replace("\n", ""), "photos of Amanita muscaria"


def test_a_fit_in_closed_form_has_no_learning_curves(bobs, run, production) -> None:
    TrainingRun.objects.filter(pk=run.pk).update(history=HISTORY[:1])
    production.run = run
    production.save()
    html = bobs.get(page("change", run.pk)).content.decode()
    assert "Learning curves" not in html
    assert "fitted in closed form without epochs, is right on 81.2\xa0% of the validation" in html
    of_version = reverse("admin:mlmodels_modelversion_change", args=[production.pk])
    assert "it was right on 81.2\xa0% of the validation" in bobs.get(of_version).content.decode()


def test_photos_that_the_version_was_trained_on_are_not_called_validation(bobs, run) -> None:
    TrainingRun.objects.filter(pk=run.pk).update(validation_is_new=False)
    for html in (
        bobs.get(page("change", run.pk)).content.decode(),
        bobs.get(page("progress", run.pk)).json()["html"],
    ):
        assert "was trained on the validation photos" in html
        assert "accuracy on photos trained on</th>" in html
        assert "accuracy on seen photos (%)" in html
        assert "validation accuracy (%)" not in html
    TrainingRun.objects.filter(pk=run.pk).update(validation_is_new=True)
    html = bobs.get(page("change", run.pk)).content.decode()
    assert "validation accuracy (%)" in html
    assert "trained on the validation photos" not in html


def test_progress_is_json_and_follows_the_row(bobs, run) -> None:
    answer = bobs.get(page("progress", run.pk)).json()
    assert answer["status"] == "running"
    assert answer["is_live"] is True
    assert answer["progress"] == run.progress
    assert "epoch 2 of 10" in answer["html"]
    TrainingRun.objects.filter(pk=run.pk).update(
        progress=run.progress | {"percent": 73, "epoch": 7, "eta_s": 40}
    )
    html = bobs.get(page("progress", run.pk)).json()["html"]
    assert 'value="73"' in html
    assert "epoch 7 of 10" in html
    assert "About 40 seconds left" in html
    TrainingRun.objects.filter(pk=run.pk).update(status=Status.FAILED)
    assert bobs.get(page("progress", run.pk)).json()["is_live"] is False
    assert bobs.get(page("progress", 999_999)).status_code == 404


def test_progress_takes_few_queries_and_does_not_load_the_dataset(
    bobs, run, django_assert_num_queries
) -> None:
    with django_assert_num_queries(3) as queries:  # session, user, run
        bobs.get(page("progress", run.pk))
    assert not any('"dataset",' in query["sql"] for query in queries)


def test_list_query_count_does_not_depend_on_the_number_of_runs(
    bobs, run, django_assert_num_queries, django_assert_max_num_queries
) -> None:
    with django_assert_max_num_queries(8) as one:
        bobs.get(page("changelist"))
    for _ in range(6):
        TrainingRun.objects.create(
            kind="finetune", parameters={}, parent=run.parent, requested_by=run.requested_by
        )
    with django_assert_num_queries(len(one)):
        bobs.get(page("changelist"))


def test_list_shows_bar_parameters_and_result(bobs, run, production) -> None:
    done = TrainingRun.objects.create(
        kind="train", parameters={"variables": 14, "epochs": 20}, status=Status.SUCCEEDED,
        started_at=timezone.now() - timedelta(seconds=1290), finished_at=timezone.now(),
    )  # fmt: skip
    ModelVersion.objects.filter(pk=production.pk).update(run=done)
    html = bobs.get(page("changelist")).content.decode()
    assert 'value="42"' in html
    assert "variables 4, epochs 10, from VGG16 1" in html
    assert "variables 14, epochs 20" in html
    accuracy = production.metrics["evaluation"]["accuracy"]
    assert f"VGG16 1</a>: {format_share(accuracy)}" in html
    assert "22 minutes" in html
    for kind in KINDS:
        assert page("start", kind) in html


def test_cancel_asks_first_and_then_cancels(bobs, run) -> None:
    assert b"Yes, cancel run" in bobs.get(page("cancel", run.pk)).content
    run.refresh_from_db()
    assert run.status == Status.RUNNING, "the question has changed nothing"
    response = bobs.post(page("cancel", run.pk), follow=True)
    assert f"Run {run.pk} was cancelled." in response.content.decode()
    run.refresh_from_db()
    assert run.status == Status.CANCELLED
    assert run.finished_at is not None
    again = bobs.post(page("cancel", run.pk), follow=True).content.decode()
    assert f"Run {run.pk} has already ended: cancelled. Nothing was changed." in again


def test_cancel_requires_the_csrf_token(users, run) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(users["bob"])
    assert browser.post(page("cancel", run.pk)).status_code == 403
    run.refresh_from_db()
    assert run.status == Status.RUNNING


def test_failed_run_shows_its_error(bobs, run) -> None:
    TrainingRun.objects.filter(pk=run.pk).update(
        status=Status.FAILED, error="The disk is full. Make <b>room</b>."
    )
    html = bobs.get(page("change", run.pk)).content.decode()
    assert "The disk is full. Make &lt;b&gt;room&lt;/b&gt;." in html
    assert "data-live" not in html
    assert page("cancel", run.pk) not in html


def test_manifest_is_a_file_with_every_photo(bobs, run) -> None:
    response = bobs.get(page("manifest", run.pk))
    name = f'attachment; filename="run-{run.pk}-dataset.json"'
    assert response.headers["Content-Disposition"] == name
    assert json.loads(response.content) == {"sha256": "f" * 64, **DATASET}
    TrainingRun.objects.filter(pk=run.pk).update(dataset=None)
    assert bobs.get(page("manifest", run.pk)).status_code == 404


def test_search_shows_its_trials(bobs, run) -> None:
    trials = [
        {
            "number": number, "state": state, "epochs": 3, "accuracy": 0.8123, "nll": 0.5987,
            "seconds": 61.5, "parameters": parameters,
        }
        for number, state, parameters in (
            (0, "complete", {"variables": 1}),
            (1, "pruned", {"learning_rate": 0.000123, "variables": 4}),
        )
    ]  # fmt: skip
    progress = run.progress | {"stage": "search", "epoch": 2, "epochs": 20}
    TrainingRun.objects.filter(pk=run.pk).update(kind="search", trials=trials, progress=progress)
    html = bobs.get(page("change", run.pk)).content.decode()
    assert "<title>Trials</title>" in html
    assert "learning rate</th>" in html
    assert "0.000123" in html
    assert "<td>0.5987</td><td>81.2\N{NO-BREAK SPACE}%</td><td>62</td>" in html
    assert "trial 2 of 20" in html
    assert "Poolings that were compared" not in html


def test_a_search_shows_the_poolings_that_it_compared(bobs, run, production) -> None:
    pooling = {"blocks": [4, 5], "second_order": 0}
    compared = [{"pooling": pooling, "accuracy": 0.8712, "nll": 0.4321, "n": 800}]
    production.card["recipe"]["compared_poolings"] = compared
    ModelVersion.objects.filter(pk=production.pk).update(run=run, card=production.card)
    html = bobs.get(page("change", run.pk)).content.decode()
    assert '<th scope="row">statistics of blocks 4 and 5</th><td>800</td><td>87.1\xa0%</td>' in html


@pytest.mark.parametrize("kind", KINDS)
def test_form_shows_bounds_and_defaults_and_queues_a_run(
    kind, bobs, users, production, enough_photos
) -> None:
    html = bobs.get(page("start", kind)).content.decode()
    assert 'min="1"' in html
    form_data = dict(FORM_DATA[kind])
    response = bobs.post(
        page("start", kind), form_data | ({"parent": production.pk} if kind == "finetune" else {})
    )
    run = TrainingRun.objects.get()
    assert response.headers["Location"] == page("change", run.pk)
    assert (run.kind, run.status, run.requested_by) == (kind, Status.QUEUED, users["bob"])
    assert run.parameters == {"seed": 0, "minutes": 30} | form_data
    assert run.parent == (production if kind == "finetune" else None)


@pytest.mark.parametrize("kind", KINDS)
def test_form_tells_what_the_training_would_have_and_links_to_the_unreviewed(
    kind, bobs, enough_photos
) -> None:
    html = bobs.get(page("start", kind)).content.decode()
    assert "100 photos: 100 imported, 0 named by the model alone" in html
    assert "review=next_training" not in html
    unreviewed = Photo.objects.filter(label__name="Amanita muscaria").order_by("pk")[:2]
    for photo in unreviewed:
        photo.label_source = Photo.LabelSource.PREDICTED
        photo.save()
    html = bobs.get(page("start", kind)).content.decode()
    assert "100 photos: 98 imported, 2 named by the model alone" in html
    cells = "<td>10</td><td>2</td><td>8</td><td>0</td><td>0</td>"
    assert f'<i lang="la">Amanita muscaria</i></th>{cells}' in html
    assert "/admin/predictions/photo/?review=next_training" in html
    listed = bobs.get("/admin/predictions/photo/?review=next_training").context["cl"].result_list
    assert {photo.pk for photo in listed} == {photo.pk for photo in unreviewed}


def test_form_says_at_once_that_a_training_would_be_refused(bobs, enough_photos) -> None:
    Photo.objects.filter(label__name="Amanita muscaria").first().delete()
    html = bobs.get(page("start", "train")).content.decode()
    assert "Amanita muscaria (9)" in html
    assert "photos:" not in html


def test_page_of_a_run_tells_where_its_labels_came_from(bobs, run) -> None:
    counts = {"photos": 4, "imported": 3, "confirmed": 0, "corrected": 0, "predicted": 1}
    composition = {**counts, "others": 0, "species": []}
    TrainingRun.objects.filter(pk=run.pk).update(composition=composition)
    html = bobs.get(page("change", run.pk)).content.decode()
    assert "4 photos: 3 imported, 1 named by the model alone." in html


def test_finetune_form_proposes_the_version_in_production(bobs, production) -> None:
    html = bobs.get(page("start", "finetune")).content.decode()
    assert f'<option value="{production.pk}" selected>VGG16 1 (Production)</option>' in html


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        ("train", {"variables": 15}, "less than or equal to 14"),
        ("train", {"variables": 0}, "greater than or equal to 1"),
        ("train", {"epochs": 501}, "less than or equal to 500"),
        ("train", {"epochs": "1.5"}, "Enter a whole number"),
        ("train", {"epochs": ""}, "This field is required"),
        ("finetune", {"parent": 999_999}, "Select a valid choice"),
        ("search", {"minutes": 31}, "less than or equal to 30"),
        ("search", {"trials": "abc"}, "Enter a whole number"),
    ],
    ids=str,
)
def test_invalid_form_queues_nothing(kind, wrong, message, bobs, production, enough_photos) -> None:
    form_data = {"parent": production.pk} | FORM_DATA[kind] | wrong
    html = bobs.post(page("start", kind), form_data).content.decode()
    assert "Nothing was started." in html
    assert message in html
    assert TrainingRun.objects.count() == 0


def test_too_few_photos_are_reported_on_the_form(bobs, production, enough_photos) -> None:
    Photo.objects.filter(label__name="Amanita muscaria").first().delete()
    html = bobs.post(page("start", "train"), FORM_DATA["train"]).content.decode()
    assert "Nothing was started." in html
    assert "Amanita muscaria (9)" in html
    assert TrainingRun.objects.count() == 0


def test_version_with_other_labels_is_refused_on_the_form(bobs, production, enough_photos) -> None:
    ModelVersion.objects.filter(pk=production.pk).update(labels=production.labels[1:])
    form_data = FORM_DATA["finetune"] | {"parent": production.pk}
    html = bobs.post(page("start", "finetune"), form_data).content.decode()
    assert "VGG16 1 cannot be fine-tuned" in html
    assert "Aleuria aurantia" in html
    assert TrainingRun.objects.count() == 0


def test_unknown_kind_of_run_is_not_found(bobs) -> None:
    assert bobs.get(page("start", "nonsense")).status_code == 404
