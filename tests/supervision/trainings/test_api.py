"""The API of training runs: permissions, validation and answers."""

from datetime import datetime

import pytest
from rest_framework.test import APIClient

from mlmodels.models import ModelVersion, Species, TrainingRun
from mlmodels.run_services import run_claim, run_create, run_finish, run_update
from predictions.models import Photo
from supervision.datasets.composition import training_composition
from tests.support.rows import photo_rows, version_row

pytestmark = pytest.mark.django_db

CALLS = [
    ("POST", "train"),
    ("POST", "finetune"),
    ("POST", "search"),
    ("GET", "runs"),
    ("GET", "runs/{run}"),
    ("GET", "runs/composition"),
    ("POST", "runs/{run}/cancel"),
]
FINETUNE = {"model_name": "VGG16", "stage": "Production", "variables": 4, "epochs": 20}


def queued_run(**values) -> TrainingRun:
    defaults = {"kind": "train", "parameters": {"seed": 0, "minutes": 30}}
    return run_create(**defaults | {"parent": None, "requested_by": None} | values)


@pytest.fixture
def production(db: None) -> ModelVersion:
    """Return a version in production without files: these tests score nothing."""
    return version_row()


@pytest.fixture
def photos(db: None) -> None:
    """Create as many training photos as a run needs."""
    photo_rows()


@pytest.mark.parametrize(("who", "expected"), [("nobody", 401), ("alice", 403)])
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_runs_are_for_administrators(
    request, photos, production, who, expected, method, path
) -> None:
    client: APIClient = request.getfixturevalue(who)
    run = queued_run()
    body = FINETUNE if path == "finetune" else {}
    call = f"/api/v1/{path.format(run=run.pk)}"
    answer = getattr(client, method.lower())(call, body, format="json")
    assert answer.status_code == expected
    assert answer.json()["type"] == "client_error"
    assert [(r.pk, r.status) for r in TrainingRun.objects.all()] == [(run.pk, "queued")]


def test_train_is_queued_and_answered_in_the_specified_format(bob, photos) -> None:
    answer = bob.post("/api/v1/train")
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/runs/{body['id']}"
    assert datetime.fromisoformat(body.pop("created_at"))
    run = TrainingRun.objects.get()
    assert body == {
        "id": run.pk,
        "kind": "train",
        "status": "queued",
        "parameters": {"seed": 0, "minutes": 30},
        "parent": None,
        "progress": {"percent": 0.0, "stage": "queued", "epoch": 0, "epochs": 0, "eta_s": None},
        "history": [],
        "trials": [],
        "metrics": None,
        "model_version": None,
        "error": None,
        "dataset_sha256": "",
        "composition": None,
        "validation_is_new": None,
        "requested_by": "bob",
        "started_at": None,
        "finished_at": None,
    }
    assert (run.status, run.parent, run.requested_by.username) == ("queued", None, "bob")
    shown = bob.get(answer.headers["Location"]).json()
    assert shown == body | {"created_at": shown["created_at"]}


def test_finetune_starts_from_the_version_in_the_stage(bob, photos, production) -> None:
    answer = bob.post("/api/v1/finetune", FINETUNE | {"seed": 7}, format="json")
    assert answer.status_code == 202
    run = TrainingRun.objects.get()
    assert (run.kind, run.parent) == ("finetune", production)
    assert run.parameters == {"variables": 4, "epochs": 20, "seed": 7, "minutes": 30}
    assert answer.json()["parent"] == {
        "id": production.pk,
        "name": "VGG16",
        "version": 1,
        "stage": "Production",
    }


def test_finetune_takes_the_newest_of_several_in_a_stage(bob, photos, production) -> None:
    for number in (2, 3):
        version_row(number, "Staging")
    bob.post("/api/v1/finetune", FINETUNE | {"stage": "Staging"}, format="json")
    assert TrainingRun.objects.get().parent.version == 3


def test_search_has_defaults(bob, photos) -> None:
    assert bob.post("/api/v1/search", {}, format="json").status_code == 202
    run = TrainingRun.objects.get()
    assert (run.kind, run.parameters) == ("search", {"trials": 20, "minutes": 30, "seed": 0})


@pytest.mark.parametrize(
    ("path", "field", "minimum", "maximum"),
    [
        ("finetune", "variables", 1, 14),
        ("finetune", "epochs", 1, 500),
        ("finetune", "seed", 0, 2**31 - 1),
        ("train", "variables", 1, 14),
        ("train", "epochs", 1, 500),
        ("search", "trials", 1, 200),
        ("search", "minutes", 1, 30),
    ],
)
def test_numbers_out_of_bounds_are_refused_with_the_bounds(
    bob, photos, production, path, field, minimum, maximum
) -> None:
    others: list[object] = [10**30, 1.5, 1.0, "abc", "1.0", "", True, None, [1], {}]
    for bad in (minimum - 1, maximum + 1, *others):
        body = (FINETUNE if path == "finetune" else {}) | {field: bad}
        answer = bob.post(f"/api/v1/{path}", body, format="json")
        assert answer.status_code == 400, bad
        (error,) = answer.json()["errors"]
        assert error["attr"] == field
        assert error["detail"] == f"Give a whole number from {minimum} to {maximum}.", bad
    assert TrainingRun.objects.count() == 0


@pytest.mark.parametrize(("field", "value"), [("variables", 1), ("variables", 14), ("epochs", 500)])
def test_bounds_themselves_are_accepted(bob, photos, production, field, value) -> None:
    answer = bob.post("/api/v1/finetune", FINETUNE | {field: value}, format="json")
    assert answer.status_code == 202
    assert TrainingRun.objects.get().parameters[field] == value


@pytest.mark.parametrize("missing", FINETUNE)
def test_finetune_needs_its_four_fields(bob, photos, production, missing) -> None:
    body = {name: value for name, value in FINETUNE.items() if name != missing}
    answer = bob.post("/api/v1/finetune", body, format="json")
    assert answer.status_code == 400
    assert [error["attr"] for error in answer.json()["errors"]] == [missing]
    assert TrainingRun.objects.count() == 0


@pytest.mark.parametrize("body", ["[]", '"x"', "{", "3"])
def test_a_body_that_is_not_an_object_is_refused(bob, photos, body) -> None:
    answer = bob.post("/api/v1/train", body, content_type="application/json")
    assert answer.status_code == 400
    assert TrainingRun.objects.count() == 0


@pytest.mark.parametrize("wrong", [{"model_name": "ResNet"}, {"stage": "Staging"}, {"stage": "x"}])
def test_unknown_model_or_stage_is_refused_with_a_list_of_existing_ones(
    bob, photos, production, wrong
) -> None:
    answer = bob.post("/api/v1/finetune", FINETUNE | wrong, format="json")
    assert answer.status_code == 404
    (error,) = answer.json()["errors"]
    assert "VGG16 in Production" in error["detail"]
    assert repr(next(iter(wrong.values()))) in error["detail"]
    assert TrainingRun.objects.count() == 0


@pytest.mark.parametrize("path", ["train", "finetune", "search"])
def test_too_few_photos_are_refused_with_species_and_counts(bob, photos, production, path) -> None:
    lacking = Photo.objects.filter(label__name="Aleuria aurantia")
    lacking.filter(pk__in=lacking[:3]).update(split="", label=None, split_at=None)
    Species.objects.create(name="Boletus edulis")
    body = FINETUNE if path == "finetune" else {}
    answer = bob.post(f"/api/v1/{path}", body, format="json")
    assert answer.status_code == 409
    (error,) = answer.json()["errors"]
    assert error["code"] == "too_few_photos"
    assert "Aleuria aurantia (7), Boletus edulis (0)." in error["detail"]
    assert TrainingRun.objects.count() == 0


def test_what_a_training_would_have_is_told_before_it_starts(bob, photos) -> None:
    unreviewed = Photo.objects.filter(label__name="Amanita muscaria")[:3].values("pk")
    Photo.objects.filter(pk__in=list(unreviewed.values_list("pk", flat=True))).update(
        label_source=Photo.LabelSource.PREDICTED
    )
    answer = bob.get("/api/v1/runs/composition")
    body = answer.json()
    species = body.pop("species")
    assert answer.status_code == 200
    assert body == {
        "photos": 100,
        "imported": 97,
        "confirmed": 0,
        "corrected": 0,
        "settled": 0,
        "predicted": 3,
        "others": 0,
        "text": "100 photos: 97 imported, 3 named by the model alone",
        "review": "/admin/predictions/photo/?review=next_training",
    }
    assert species[1] == {
        "species": "Amanita muscaria",
        "photos": 10,
        "imported": 7,
        "confirmed": 0,
        "corrected": 0,
        "settled": 0,
        "predicted": 3,
    }
    assert len(species) == 10
    assert TrainingRun.objects.count() == 0
    assert bob.get("/api/v1/runs/composition?page=2").status_code == 400


def test_no_composition_is_told_of_a_training_that_would_be_refused(bob, photos) -> None:
    Photo.objects.filter(label__name="Amanita muscaria")[0].delete()
    answer = bob.get("/api/v1/runs/composition")
    assert answer.status_code == 409
    (error,) = answer.json()["errors"]
    assert error["code"] == "too_few_photos"
    assert "Amanita muscaria (9)" in error["detail"]


def test_a_run_tells_what_it_had_when_it_began(bob, photos) -> None:
    queued_run()
    composition = training_composition()
    run = run_claim()
    run_update(run=run, composition=composition)
    Photo.objects.update(label_source=Photo.LabelSource.CONFIRMED)
    shown = bob.get(f"/api/v1/runs/{run.pk}").json()["composition"]
    text = "100 photos: 100 imported, 0 named by the model alone"
    assert shown == composition | {"text": text}


def test_finetuning_a_version_with_other_labels_is_refused(bob, photos, production) -> None:
    renamed = Species.objects.get(name="Aleuria aurantia")
    renamed.name = "Aleuria rhenana"
    renamed.save()
    answer = bob.post("/api/v1/finetune", FINETUNE, format="json")
    assert answer.status_code == 409
    (error,) = answer.json()["errors"]
    assert error["code"] == "labels_differ"
    assert "only the version has: Aleuria aurantia" in error["detail"]
    assert "the version lacks: Aleuria rhenana" in error["detail"]
    assert TrainingRun.objects.count() == 0


def test_runs_are_listed_newest_first_in_pages(
    bob, users, production, django_assert_num_queries
) -> None:
    runs = [queued_run(requested_by=users["bob"], parent=production) for _ in range(51)]
    with django_assert_num_queries(3):  # the token, the count, one page
        page = bob.get("/api/v1/runs").json()
    assert page["count"] == 51
    assert [row["id"] for row in page["results"]] == [run.pk for run in reversed(runs[1:])]
    second = bob.get("/api/v1/runs?page=2").json()
    assert [row["id"] for row in second["results"]] == [runs[0].pk]


def test_a_run_is_shown_while_running_and_after_success_or_failure(bob, production) -> None:
    queued_run()
    run = run_claim()
    progress = {"percent": 41.5, "stage": "layers", "epoch": 2, "epochs": 10, "eta_s": 90}
    epoch = {"epoch": 1, "loss": 1.25, "accuracy": 0.5, "nll": 1.5, "seconds": 12.5}
    run_update(run=run, progress=progress, history=[epoch])
    shown = bob.get(f"/api/v1/runs/{run.pk}").json()
    assert (shown["status"], shown["progress"]) == ("running", progress)
    assert shown["history"] == [epoch]
    ModelVersion.objects.filter(pk=production.pk).update(run=run)
    run_finish(run=run)
    shown = bob.get(f"/api/v1/runs/{run.pk}").json()
    assert shown["status"] == "succeeded"
    assert shown["progress"] == progress | {"percent": 100, "stage": "done", "eta_s": None}
    assert shown["model_version"]["id"] == production.pk
    assert shown["metrics"] == production.metrics

    failing = queued_run()
    run_finish(run=run_claim(), error="The disk is full.")
    shown = bob.get(f"/api/v1/runs/{failing.pk}").json()
    assert (shown["status"], shown["error"]) == ("failed", "The disk is full.")
    assert shown["model_version"] is shown["metrics"] is None


def test_an_unknown_run_is_404(bob) -> None:
    assert bob.get("/api/v1/runs/999999").status_code == 404
    assert bob.post("/api/v1/runs/999999/cancel").status_code == 404


@pytest.mark.parametrize("status", ["queued", "running"])
def test_cancel_ends_a_run_at_once(bob, status) -> None:
    run = queued_run()
    if status == "running":
        run_claim()
    answer = bob.post(f"/api/v1/runs/{run.pk}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert answer.json()["finished_at"] is not None
    run.refresh_from_db()
    assert run.status == "cancelled"


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_cancel_of_a_run_that_has_ended_changes_nothing(bob, status) -> None:
    run = queued_run()
    TrainingRun.objects.filter(pk=run.pk).update(status=status, error="as it was")
    before = TrainingRun.objects.filter(pk=run.pk).values().get()
    answer = bob.post(f"/api/v1/runs/{run.pk}/cancel")
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["code"] == "run_ended"
    assert TrainingRun.objects.filter(pk=run.pk).values().get() == before


def test_cancel_of_a_run_whose_version_is_registered_is_refused(bob, production) -> None:
    run = queued_run()
    run_claim()
    ModelVersion.objects.filter(pk=production.pk).update(run=run)
    answer = bob.post(f"/api/v1/runs/{run.pk}/cancel")
    assert answer.status_code == 409
    assert "VGG16 1 is registered" in answer.json()["errors"][0]["detail"]
    run.refresh_from_db()
    assert run.status == "running"
