"""Runs and versions are told to MLflow, once, whatever happens meanwhile."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient

from champipy_site.stack.ports import choose_port
from common.valkey import valkey_client
from mlmodels.models import ModelVersion, TrainingRun
from supervision.trainings.tracking import LOCK, runs_track
from tests.support.rows import evaluation_rows, version_row
from tests.support.stack import eventually

pytestmark = pytest.mark.django_db
HISTORY = [
    {"epoch": 0, "loss": None, "accuracy": 0.5, "nll": 1.5, "seconds": 1.0},
    {"epoch": 1, "loss": 1.25, "accuracy": 0.75, "nll": 0.5, "seconds": 2.0},
]
TRIAL = {"number": 0, "state": "complete", "epochs": 1, "nll": 0.5, "accuracy": 0.75, "seconds": 9}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start MLflow's own server, with its database and its files in a folder."""
    program = os.environ.get("CHAMPIPY_MLFLOW")
    if not program:
        pytest.skip("no MLflow server: name the program `mlflow` in CHAMPIPY_MLFLOW")
    folder, port = tmp_path_factory.mktemp("mlflow"), choose_port()
    command = [program, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "files")]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
    )

    def answers() -> bool:
        try:
            return bool(MlflowClient(f"http://127.0.0.1:{port}").search_experiments())
        except Exception:
            return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        assert eventually(answers, 120), (folder / "log").read_text()
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, 15)
    process.wait(timeout=30)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of a store of files, which needs no server."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return (tmp_path / "mlruns").as_uri()


@pytest.fixture(
    params=["folder", pytest.param("server", marks=pytest.mark.slow)],
)
def client(
    request: pytest.FixtureRequest, settings, monkeypatch: pytest.MonkeyPatch
) -> MlflowClient:
    settings.MLFLOW_TRACKING_URI = request.getfixturevalue(request.param)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", f"of a test at {time.time()}")
    valkey_client().delete(LOCK)
    uri = settings.MLFLOW_TRACKING_URI
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@pytest.fixture
def run(users) -> TrainingRun:
    return TrainingRun.objects.create(
        kind="search",
        status="succeeded",
        parameters={"seed": 7, "lr": [0.001, 0.01], "pooling": {"power": 0.5}},
        dataset_sha256="f" * 64,
        history=HISTORY,
        trials=[{**TRIAL, "parameters": {"lr": 0.001}}],
        composition={"training": 10},
        note="The first one.",
        started_at=datetime(2026, 11, 1, tzinfo=UTC),
        finished_at=datetime(2026, 11, 2, tzinfo=UTC),
    )


@pytest.fixture
def version(run: TrainingRun) -> ModelVersion:
    made = version_row()
    made.run, made.card = run, {"recipe": {"dropout": 0.25}}
    made.save()
    evaluation_rows(made, right=8)
    return made


def told_runs(client: MlflowClient) -> list:
    found = client.get_experiment_by_name(os.environ["MLFLOW_EXPERIMENT_NAME"])
    return client.search_runs([found.experiment_id]) if found else []


def values(client: MlflowClient, run_id: str, name: str) -> list[tuple[int, float]]:
    return sorted((each.step, each.value) for each in client.get_metric_history(run_id, name))


def files(client: MlflowClient, run_id: str, path: str | None = None) -> set[str]:
    found = set()
    for each in client.list_artifacts(run_id, path):
        found |= files(client, run_id, each.path) if each.is_dir else {each.path}
    return found


def test_a_run_is_told_with_its_version(
    client: MlflowClient, run: TrainingRun, version: ModelVersion
) -> None:
    for again in (False, True):
        assert runs_track() == 1
        [told] = told_runs(client)
        assert told.info.status == "FINISHED"
        assert told.data.tags["champipy.run"] == str(run.pk)
        assert told.data.tags["note"] == "The first one."
        expected = {"seed": "7", "lr": "0.001, 0.01", "pooling power": "0.5"}
        assert expected.items() <= told.data.params.items()
        assert told.data.params["recipe dropout"] == "0.25"
        run_id = told.info.run_id
        assert values(client, run_id, "accuracy") == [(0, 0.5), (1, 0.75)]
        assert values(client, run_id, "loss") == [(1, 1.25)]
        assert values(client, run_id, "evaluation accuracy") == [(0, 0.8)]
        assert files(client, run_id) == {
            *("composition.json", "trials.json", "evaluation.json", "version/card.json"),
            *("figures/learning-curves.svg", "figures/trials.svg"),
        }
        [registered] = client.search_model_versions(f"run_id = '{run_id}'")
        assert registered.tags["champipy.version"] == str(version)
        assert client.get_model_version_by_alias("champipy-VGG16", "production").version == (
            registered.version
        )
        assert runs_track() == 0  # there is nothing to tell
        if not again:  # as if the task had died before it wrote that all was told
            TrainingRun.objects.update(tracked_at=None)


def test_what_was_told_half_is_told_wholly(client: MlflowClient, run: TrainingRun) -> None:
    experiment = client.create_experiment(os.environ["MLFLOW_EXPERIMENT_NAME"])
    tags = {"champipy.run": str(run.pk), "champipy.created_at": run.created_at.isoformat()}
    begun = client.create_run(experiment, tags=tags)
    client.log_metric(begun.info.run_id, "accuracy", 0.5, step=0)
    assert runs_track() == 1
    [told] = told_runs(client)
    assert told.info.run_id == begun.info.run_id
    assert values(client, told.info.run_id, "accuracy") == [(0, 0.5), (1, 0.75)]


def test_runs_that_failed_or_go_on(client: MlflowClient, run: TrainingRun) -> None:
    TrainingRun.objects.update(status="running")
    assert runs_track() == 0
    assert told_runs(client) == []
    TrainingRun.objects.update(status="failed", error="No photos.")
    assert runs_track() == 1
    [told] = told_runs(client)
    assert (told.info.status, told.data.tags["error"]) == ("FAILED", "No photos.")


def test_a_server_that_is_down_is_told_later(
    client: MlflowClient, run: TrainingRun, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    up, settings.MLFLOW_TRACKING_URI = settings.MLFLOW_TRACKING_URI, "http://127.0.0.1:1"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert runs_track() == 0
    run.refresh_from_db()
    assert run.tracked_at is None
    settings.MLFLOW_TRACKING_URI = up
    assert runs_track() == 1


def test_a_slow_server_holds_one_thread_for_a_moment(
    run: TrainingRun, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it answers nothing
        settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        assert runs_track() == 0
        assert time.monotonic() - began < 30
    run.refresh_from_db()
    assert run.tracked_at is None
    assert not valkey_client().exists(LOCK)


def test_nothing_happens_unless_it_is_switched_on(
    run: TrainingRun, settings, django_assert_num_queries
) -> None:
    settings.MLFLOW_TRACKING_URI = ""
    with django_assert_num_queries(0):
        assert runs_track() == 0


def test_two_tasks_do_not_tell_the_same(client: MlflowClient, run: TrainingRun) -> None:
    with valkey_client().lock(LOCK, timeout=60):
        assert runs_track() == 0
    assert told_runs(client) == []
    assert runs_track() == 1
