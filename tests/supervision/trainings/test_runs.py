"""Training runs in the database: order, fencing, recovery; and the real training worker."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from pathlib import Path

import psutil
import pytest
from celery import current_app
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now

from mlmodels.ml.preprocessing import PhotoError
from mlmodels.models import ModelVersion, TrainingRun
from mlmodels.run_services import (
    LOST_AFTER,
    MAX_LOST_WORKERS,
    PROCESS_FAMILY,
    RunLost,
    retry_database,
    run_cancel,
    run_claim,
    run_create,
    run_finish,
    run_heartbeat,
    run_lock,
    run_update,
    runs_recover,
)
from predictions.models import Photo
from supervision.trainings.heartbeat import EXIT_CODE, RunHeartbeat
from supervision.trainings.services import run_work, runs_watch
from supervision.trainings.tasks import release_run_on_shutdown
from tests.support.labelled_photos import draw_labelled, import_all
from tests.support.paths import PROJECT
from tests.support.rows import photo_rows, version_row
from tests.support.stack import eventually

FIELDS = ("status", "attempt", "progress", "error", "heartbeat_at", "finished_at")


def queued_run(**values) -> TrainingRun:
    defaults = {"kind": "train", "parameters": {"seed": 0, "minutes": 30}}
    return run_create(**defaults | {"parent": None, "requested_by": None} | values)


def lose(run: TrainingRun) -> None:
    """Make the run's heartbeat as old as that of a process that died."""
    TrainingRun.objects.filter(pk=run.pk).update(
        heartbeat_at=Now() - LOST_AFTER - timedelta(seconds=1)
    )


def row(run: TrainingRun) -> dict:
    return TrainingRun.objects.filter(pk=run.pk).values(*FIELDS).get()


@pytest.mark.django_db
def test_runs_are_claimed_in_order_one_at_a_time() -> None:
    first, second, third = (queued_run() for _ in range(3))
    run_cancel(run=second)
    claimed = run_claim()
    assert (claimed, claimed.status, claimed.attempt) == (first, "running", 1)
    assert claimed.progress["stage"] == "dataset"
    assert claimed.heartbeat_at == claimed.started_at is not None
    assert run_claim() is None
    assert run_claim(run=third) is None
    run_finish(run=claimed)
    assert run_claim() == third
    run_cancel(run=third)
    assert run_claim() is None


@pytest.mark.django_db(transaction=True)
def test_only_one_of_many_simultaneous_claims_gets_a_run() -> None:
    runs = [queued_run() for _ in range(3)]

    def claim(_: int) -> TrainingRun | None:
        try:
            return run_claim()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        claimed = [run for run in pool.map(claim, range(16)) if run is not None]
    assert claimed == [runs[0]]
    assert TrainingRun.objects.filter(status="running").get().attempt == 1


WRITES: dict[str, Callable[[TrainingRun], object]] = {
    "beat": lambda run: run_heartbeat(run=run),
    "update": lambda run: run_update(run=run, progress={"percent": 99}),
    "finish": lambda run: run_finish(run=run),
    "fail": lambda run: run_finish(run=run, error="mine"),
    "hold": lambda run: run_lock(run=run),
}


@pytest.mark.django_db
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("how", ["cancelled", "queued again", "claimed by another"])
def test_a_process_that_lost_its_run_writes_nothing(how: str, write: str) -> None:
    queued_run()
    lost = run_claim()
    if how == "cancelled":
        run_cancel(run=lost)
    else:
        lose(lost)
        assert runs_recover() == [lost]
    if how == "claimed by another":
        assert run_claim().attempt == 2
    before = row(lost)
    with pytest.raises(RunLost):
        WRITES[write](lost)
    assert row(lost) == before


@pytest.mark.django_db
def test_only_an_old_heartbeat_makes_a_run_lost() -> None:
    queued_run()
    run = run_claim()
    TrainingRun.objects.update(
        started_at=Now() - timedelta(hours=1), heartbeat_at=Now() - LOST_AFTER / 2
    )
    assert runs_recover() == []
    lose(run)
    run_heartbeat(run=run)
    assert runs_recover() == []


@pytest.mark.django_db
def test_a_lost_run_is_queued_again_once_then_fails_and_the_next_starts() -> None:
    run, following = queued_run(), queued_run()
    first = run_claim()
    run_update(run=first, history=[{"epoch": 0}], progress=first.progress | {"percent": 50})
    lose(first)
    assert runs_recover() == [run]
    assert row(run)["status"] == "queued"
    second = run_claim()
    assert (second, second.attempt, second.history) == (run, 2, [])
    assert second.progress["percent"] == 0
    lose(second)
    runs_recover()
    ended = row(run)
    assert ended["status"] == "failed"
    assert "2 times" in ended["error"]
    assert "memory" in ended["error"]
    assert ended["finished_at"] is not None
    assert run_claim() == following


@pytest.mark.django_db
def test_a_run_is_queued_again_each_time_its_worker_is_stopped() -> None:
    queued_run()
    for _ in range(MAX_LOST_WORKERS + 1):
        run = run_claim()
        release_run_on_shutdown(sender="inference@host")
        assert row(run)["status"] == "running"
        release_run_on_shutdown(sender="training@host")
        assert row(run)["status"] == "queued"
        with pytest.raises(RunLost):
            run_heartbeat(run=run)


@pytest.mark.django_db
def test_a_stopped_worker_leaves_the_run_of_another_process_alone() -> None:
    queued_run()
    run = run_claim()
    assert TrainingRun.objects.get(pk=run.pk).holder == PROCESS_FAMILY
    TrainingRun.objects.update(holder=PROCESS_FAMILY.replace(f":{os.getpid()}:", ":1:"))
    before = row(run)
    release_run_on_shutdown(sender="training@host")
    assert row(run) == before
    run_heartbeat(run=run)


def test_a_forked_process_belongs_to_the_family_of_its_parent_and_a_new_one_does_not() -> None:
    code = (
        "from mlmodels import run_services as r; import os; "
        "os.fork() and os.wait(); print(r.PROCESS_FAMILY, flush=True)"
    )
    command = [sys.executable, "-c", f"import django; django.setup(); {code}"]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "champipy_site.settings"}
    output = subprocess.check_output(command, cwd=PROJECT, env=environment, text=True)
    child, parent = output.split()
    assert child == parent != PROCESS_FAMILY


@pytest.mark.django_db
def test_a_run_lost_after_it_registered_its_version_has_succeeded() -> None:
    queued_run()
    run = run_claim()
    version = version_row(stage="Staging")
    ModelVersion.objects.filter(pk=version.pk).update(run=run)
    lose(run)
    runs_recover()
    assert row(run)["status"] == "succeeded"
    assert row(run)["progress"]["percent"] == 100


@pytest.mark.django_db
def test_the_worker_is_woken_only_if_a_run_is_queued_and_none_runs(
    monkeypatch,
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, *_, **__: sent.append(name))
    runs_watch()
    assert sent == []
    queued_run()
    runs_watch()
    assert sent == ["supervision.trainings.tasks.work_next_run"]
    run = run_claim()
    queued_run()
    runs_watch()
    assert len(sent) == 1
    lose(run)
    runs_watch()
    assert len(sent) == 2


@pytest.mark.django_db(transaction=True)
def test_a_write_that_must_not_be_lost_survives_a_lost_connection() -> None:
    queued_run()
    run = run_claim()
    end_connections()
    run_finish(run=run)
    assert row(run)["status"] == "succeeded"
    with pytest.raises(RunLost):
        retry_database(lambda: run_heartbeat(run=run))


def end_connections() -> None:
    """Cut every connection to the test database, as a restart of PostgreSQL does."""
    killer = connection.copy()
    with killer.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    killer.close()


@pytest.mark.django_db(transaction=True)
def test_the_heartbeat_continues_after_a_lost_connection() -> None:
    queued_run()
    run = run_claim()

    def beats_after(moment) -> bool:
        return eventually(
            lambda: TrainingRun.objects.filter(pk=run.pk, heartbeat_at__gt=moment).exists(), 30
        )

    with RunHeartbeat(run, minutes=30) as watch:
        assert beats_after(run.started_at)
        end_connections()
        connection.close()
        assert beats_after(TrainingRun.objects.get(pk=run.pk).heartbeat_at)
        assert not watch.is_over()


@pytest.fixture
def on_test_database(db: None) -> dict[str, str]:
    """Return the environment of a process that works on the test database."""
    database = connection.settings_dict
    return os.environ | {
        "DATABASE_URL": f"postgres://{database['USER']}:{database['PASSWORD']}"
        f"@{database['HOST']}:{database['PORT']}/{database['NAME']}",
        "CHAMPIPY_HOME": str(settings.CHAMPIPY_HOME),
        "PYTHONUNBUFFERED": "1",
    }


UNRESPONSIVE_PROCESS = """
import sys, time, django
django.setup()
from mlmodels.run_services import run_claim
from supervision.trainings.heartbeat import RunHeartbeat
with RunHeartbeat(run_claim(), minutes=float(sys.argv[1])):
    print("holds it", flush=True)
    time.sleep(300)
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("why", ["cancelled", "failed"])
def test_an_unresponsive_process_is_ended(on_test_database, why: str) -> None:
    """The main thread sleeps, as in a long TensorFlow call."""
    run = queued_run()
    command = [sys.executable, "-c", UNRESPONSIVE_PROCESS, "30" if why == "cancelled" else "-100"]
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        env=on_test_database | {"DJANGO_SETTINGS_MODULE": "champipy_site.settings"},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"holds it\n"
        if why == "cancelled":
            run_cancel(run=run)
        assert process.wait(timeout=60) == EXIT_CODE
    assert row(run)["status"] == why
    assert ("time budget" in row(run)["error"]) == (why == "failed")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PhotoError("image_truncated", "It is cut off."), "A training photo can't be read: It is"),
        (OSError(28, "No space left on device"), "The disk is full."),
        (MemoryError(), "not enough memory"),
        (RuntimeError("odd"), "RuntimeError: odd. See the training worker's log for details."),
    ],
)
def test_a_failed_run_explains_its_error(monkeypatch, error: Exception, message: str) -> None:
    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr("supervision.trainings.services.training_dataset", fails)
    queued_run()
    run = run_claim()
    run_work(run=run)
    assert row(run)["status"] == "failed"
    assert message in row(run)["error"]


@pytest.mark.django_db(transaction=True)
def test_a_run_with_too_few_photos_fails_and_names_the_species() -> None:
    photo_rows()
    queued_run()
    run = run_claim()
    Photo.objects.filter(label__name="Amanita muscaria").delete()
    run_work(run=run)
    assert row(run)["status"] == "failed"
    assert "Amanita muscaria (0)" in row(run)["error"]


@pytest.mark.django_db
def test_the_command_refuses_while_another_run_is_running() -> None:
    photo_rows()
    queued_run()
    run = run_claim()
    with pytest.raises(CommandError, match=rf"run {run.pk} \(.*, running\) is under way"):
        call_command("train_model")
    assert list(TrainingRun.objects.all()) == [run]


@pytest.mark.parametrize(
    ("option", "bounds"), [("variables", "1 to 14"), ("epochs", "1 to 500"), ("minutes", "1 to 30")]
)
@pytest.mark.django_db
def test_the_command_names_its_bounds(option: str, bounds: str) -> None:
    with pytest.raises(CommandError, match=f"--{option} takes a whole number from {bounds}"):
        call_command("train_model", f"--{option}", "0")
    assert TrainingRun.objects.count() == 0


# --- the real worker ----------------------------------------------------------------------------


@pytest.fixture
def training_worker(on_test_database) -> Iterator[psutil.Process]:
    """Start the real training worker on the test database; yield its process."""
    log_path = Path(settings.CHAMPIPY_HOME) / "log" / "test-training.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "celery", "-A", "champipy_site", "worker", "-n", "training@t"]
    command += ["--without-gossip", "--without-mingle", "-O", "fair", "-Q", "training"]
    command += ["-P", "prefork", "-c", "1", "--max-tasks-per-child", "1"]
    with log_path.open("ab") as log:
        process = psutil.Popen(command, cwd=PROJECT, env=on_test_database, stdout=log, stderr=log)
    assert eventually(lambda: "training@t" in (current_app.control.inspect(timeout=1).ping() or {}))
    yield process
    for child in process.children(recursive=True):
        child.kill()
    process.kill()
    process.wait(30)


@pytest.fixture
def labelled(db: None, tmp_path: Path) -> None:
    import_all(draw_labelled(tmp_path))


def status_of(run_id: int) -> str:
    runs_watch()  # what beat does every ten seconds
    return TrainingRun.objects.get(pk=run_id).status


def request_training(bob, **body) -> int:
    """Request a training of only the head through the API; return the run's id."""
    answer = bob.post("/api/v1/train", {"variables": 1, "epochs": 1} | body, format="json")
    assert answer.status_code == 202
    return answer.json()["id"]


def is_computing(run_id: int) -> Callable[[], bool]:
    """Return a function: whether the worker is computing the run's features."""
    of_run = TrainingRun.objects.filter(pk=run_id, progress__percent__gt=0)
    return lambda: status_of(run_id) == "running" and of_run.exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.django_db(transaction=True)
def test_the_worker_makes_a_version_and_survives_a_kill_and_a_cancel(
    bob, labelled, training_worker, monkeypatch
) -> None:
    monkeypatch.setattr(settings, "CHAMPIPY_TRAINING_MINUTES", 3)
    cancelled, killed, waiting = (
        request_training(bob),
        request_training(bob),
        request_training(bob, seed=1),
    )

    assert eventually(is_computing(cancelled), 600)
    (child,) = training_worker.children()
    cancelled_at = time.monotonic()
    bob.post(f"/api/v1/runs/{cancelled}/cancel")
    child.wait(timeout=60)
    print(f"cancelled: the process ended after {time.monotonic() - cancelled_at:.1f} s")
    assert bob.get(f"/api/v1/runs/{cancelled}").json()["status"] == "cancelled"

    assert eventually(is_computing(killed), 600), "the next one starts"
    assert status_of(waiting) == "queued"
    (child,) = training_worker.children()
    child.kill()
    child.wait(timeout=30)
    assert status_of(killed) == "running", "its process is not missed yet"
    lose(TrainingRun.objects.get(pk=killed))
    assert eventually(lambda: status_of(killed) == "succeeded", 900)
    assert eventually(is_computing(waiting), 600), "and the one after it"
    training_worker.terminate()
    assert eventually(lambda: TrainingRun.objects.get(pk=waiting).status == "queued", 30)
    assert bob.post(f"/api/v1/runs/{waiting}/cancel").status_code == 200

    shown = bob.get(f"/api/v1/runs/{killed}").json()
    version = ModelVersion.objects.get(run=killed)
    assert shown["model_version"] == {
        "id": version.pk,
        "name": "VGG16",
        "version": 1,
        "stage": "Staging",
    }
    assert shown["metrics"]["evaluation"]["accuracy"] > 0.5, "five times chance"
    assert [epoch["epoch"] for epoch in shown["history"]] == [0]
    assert shown["progress"]["percent"] == 100
    assert TrainingRun.objects.get(pk=killed).attempt == 2
    assert shown["dataset_sha256"] == version.card["dataset_hash"]
    assert ModelVersion.objects.count() == 1, "none of the cancelled ones"
    call_command("evaluate_model", "1", stdout=StringIO())


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_an_interrupted_command_has_told_its_photos_cancels_its_run_and_exits_with_130(
    labelled: None, on_test_database
) -> None:
    amanitas = Photo.objects.filter(split="training", label__name="Amanita muscaria")
    amanitas.filter(pk__in=list(amanitas.values_list("pk", flat=True)[:2])).update(
        label_source=Photo.LabelSource.PREDICTED
    )
    command = [sys.executable, "manage.py", "train_model"]
    process = subprocess.Popen(
        command,
        cwd=PROJECT,
        env=on_test_database,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has them ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(12)]
    [run] = TrainingRun.objects.filter(status=TrainingRun.Status.RUNNING)
    assert told[0] == "120 photos: 118 imported, 2 named by the model alone."
    assert "Amanita muscaria           12: 10 imported, 2 named by the model alone" in told
    assert told[-1].endswith("/admin/predictions/photo/?review=next_training.")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.splitlines()[-1]) == (
        130,
        f"CommandError: Run {run.pk} was cancelled.",
    )
    assert status_of(run.pk) == TrainingRun.Status.CANCELLED
