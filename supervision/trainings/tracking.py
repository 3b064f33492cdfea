"""Tells MLflow of training runs and the versions that they made, where MLFLOW_TRACKING_URI is set.

A task of beat tells what MLflow has not been told yet, the oldest run first. So no training waits
for it, and what ended while it was away is told later. The rows are the truth: a run is found in
MLflow by its tags, and a task that died half way is finished by the next one.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone, translation
from redis.exceptions import LockError, RedisError

from common.valkey import valkey_client
from mlmodels.models import ModelVersion, TrainingRun
from mlmodels.selectors import production_version
from supervision.evaluations.parameters import parameter_rows, version_parameters
from supervision.evaluations.selectors import version_figures
from supervision.pictures.charts import learning_curves_svg, trials_svg
from supervision.pictures.reliability import reliability_svg

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

ENDED = (TrainingRun.Status.SUCCEEDED, TrainingRun.Status.FAILED, TrainingRun.Status.CANCELLED)
OUTCOMES = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
LOCK = "champipy:mlflow"
LOCK_S = 600
MAX_SECONDS = 60
"""No further run is begun after this time; the next task goes on."""
MAX_PARAMETER = 500
"""Characters of a parameter."""
REQUESTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it would tell its makers about this installation
}
"""MLflow's own settings, unless they are set: how long a slow server holds a thread."""


def runs_track() -> int:
    """Tell MLflow of ended runs that it does not know, and which version is in production.

    Return how many runs were told. A server that does not answer is logged, and asked again by the
    next task; a run that it refuses does not keep the others back.
    """
    if not settings.MLFLOW_TRACKING_URI:
        return 0
    lock = valkey_client().lock(LOCK, timeout=LOCK_S, blocking=False)
    try:
        if not lock.acquire():
            return 0  # another task is at it
    except RedisError:
        return 0
    try:
        return _track()
    finally:
        try:
            lock.release()
        except (LockError, RedisError):
            logger.warning("MLflow took longer than %s s", LOCK_S)


def _track() -> int:
    for name, value in REQUESTS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    # Where MLflow is not told where versions go, it may make a database in the working folder.
    registry = os.environ.get("MLFLOW_REGISTRY_URI") or settings.MLFLOW_TRACKING_URI
    client = MlflowClient(tracking_uri=settings.MLFLOW_TRACKING_URI, registry_uri=registry)
    began, n_told = time.monotonic(), 0
    waiting = TrainingRun.objects.filter(status__in=ENDED, tracked_at=None).order_by("pk")
    try:
        experiment = _experiment(client)
        for pk in list(waiting.values_list("pk", flat=True)):
            if time.monotonic() - began > MAX_SECONDS:
                break
            run = TrainingRun.objects.defer("dataset").get(pk=pk)
            try:
                _tell(client, experiment, run)
            except MlflowException as error:
                if error.get_http_status_code() >= 500:  # or it did not answer at all
                    raise
                logger.warning("MLflow refused run %s: %s", run.pk, error)
                continue
            TrainingRun.objects.filter(pk=pk).update(tracked_at=timezone.now())
            n_told += 1
        _tell_production(client, experiment)
    except (MlflowException, OSError) as error:
        logger.warning("MLflow was not told of everything, and will be: %s", error)
    return n_told


def _experiment(client: "MlflowClient") -> str:
    """Return the id of the experiment that all runs are in; make it at the first use."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "champipy"
    found = client.get_experiment_by_name(name)
    return found.experiment_id if found else client.create_experiment(name)


def _tags(run: TrainingRun) -> dict[str, str]:
    """Return what identifies a run; a server may hold those of several installations."""
    return {"champipy.run": str(run.pk), "champipy.created_at": run.created_at.isoformat()}


def _found(client: "MlflowClient", experiment: str, run: TrainingRun) -> "Run | None":
    conditions = (f"tags.`{name}` = '{value}'" for name, value in _tags(run).items())
    runs = client.search_runs([experiment], " and ".join(conditions), max_results=1)
    return runs[0] if runs else None


def _tell(client: "MlflowClient", experiment: str, run: TrainingRun) -> None:
    """Tell MLflow of a run, or what it lacks of it."""
    from mlflow.entities import Param, RunTag

    known = _found(client, experiment, run)
    told = known or client.create_run(
        experiment,
        start_time=_milliseconds(run.started_at or run.created_at),
        tags=_tags(run),
        run_name=f"{run.kind} {run.pk}",
    )
    run_id = told.info.run_id
    version = ModelVersion.objects.filter(run=run).first()
    rows = parameter_rows(run.parameters, version_parameters(version) if version else {})
    for row in rows:
        texts = {row.name: row.first, f"recipe {row.name}": row.second}
        parameters = [Param(name, text[:MAX_PARAMETER]) for name, text in texts.items() if text]
        client.log_batch(run_id, params=parameters)
    tags = {"kind": run.kind, "dataset_sha256": run.dataset_sha256, "note": run.note}
    tags |= {"tags": ", ".join(run.tags), "error": str(run.error)}
    client.log_batch(run_id, tags=[RunTag(name, text) for name, text in tags.items() if text])
    _tell_metrics(client, run_id, run, version)
    with translation.override("en"):
        _tell_files(client, run_id, run, version)
    if version is not None:
        _tell_version(client, told, version)
    client.set_terminated(
        run_id, OUTCOMES[run.status], end_time=_milliseconds(run.finished_at or run.created_at)
    )


def _tell_metrics(
    client: "MlflowClient", run_id: str, run: TrainingRun, version: ModelVersion | None
) -> None:
    """Tell the curves, epoch by epoch, and the figures of the version, which have no epoch."""
    from mlflow.entities import Metric

    at = _milliseconds(run.finished_at or run.created_at)
    metrics = [
        Metric(name, float(value), at, step)
        for step, entry in enumerate(run.history)
        for name, value in entry.items()
        if isinstance(value, int | float) and name != "epoch"
    ]
    figures = version_figures(version).metrics if version is not None else None
    metrics += [Metric(name, value, at, 0) for name, value in _numbers(figures or {})]
    known = {
        (name, each.step)
        for name in {metric.key for metric in metrics}
        for each in client.get_metric_history(run_id, name)
    }
    missing = [metric for metric in metrics if (metric.key, metric.step) not in known]
    for first in range(0, len(missing), 1000):  # as many as MLflow takes at a time
        client.log_batch(run_id, metrics=missing[first : first + 1000])


def _numbers(figures: Mapping[str, Any], prefix: str = "evaluation") -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix} {name}")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix} {name}", float(value)


def _tell_files(
    client: "MlflowClient", run_id: str, run: TrainingRun, version: ModelVersion | None
) -> None:
    """Tell the figures of the run's page, and what the row holds of it besides."""
    files: dict[str, str] = {"composition.json": _json(run.composition or {})}
    if any(entry["epoch"] for entry in run.history):
        files["figures/learning-curves.svg"] = learning_curves_svg(run.history)
    if run.trials:
        files["trials.json"] = _json(run.trials)
        files["figures/trials.svg"] = trials_svg(run.trials)
    if version is not None:
        metrics = version_figures(version).metrics or {}
        files |= {"version/card.json": _json(version.card), "evaluation.json": _json(metrics)}
        if reliability := metrics.get("reliability"):
            files["figures/reliability.svg"] = reliability_svg(reliability)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        client.log_artifacts(run_id, folder)


def _tell_version(client: "MlflowClient", told: "Run", version: ModelVersion) -> None:
    """Register a version. MLflow counts them itself; tags say which version it is here."""
    from mlflow.exceptions import MlflowException

    name = _model_name(version)
    if _registered(client, told) is None:
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        client.create_model_version(
            name,
            source=f"{told.info.artifact_uri}/version",
            run_id=told.info.run_id,
            tags={"champipy.version": str(version), "files": _json(version.files)},
        )


def _registered(client: "MlflowClient", told: "Run") -> str | None:
    """Return MLflow's number of the version that a run made, if it knows it."""
    found = client.search_model_versions(f"run_id = '{told.info.run_id}'")
    return str(found[0].version) if found else None


def _tell_production(client: "MlflowClient", experiment: str) -> None:
    """Give the version in production the alias "production", if MLflow knows it."""
    version = production_version()
    if version is None or version.run_id is None:
        return
    told = _found(client, experiment, TrainingRun.objects.get(pk=version.run_id))
    number = _registered(client, told) if told is not None else None
    if number is None:
        return
    name = _model_name(version)
    if str(client.get_registered_model(name).aliases.get("production")) != number:
        client.set_registered_model_alias(name, "production", number)


def _model_name(version: ModelVersion) -> str:
    return f"champipy-{version.name}"


def _milliseconds(at: Any) -> int:
    return int(at.timestamp() * 1000)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
