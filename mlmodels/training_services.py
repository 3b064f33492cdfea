"""Trains a new version as a run asks for; loads TensorFlow, so only trainings import it."""

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from django.conf import settings

from mlmodels.evaluation import HeldOutPhotos, engine_logits, held_out_metrics
from mlmodels.ml.artifact import installed_versions, write_artifact
from mlmodels.ml.backbone import load_backbone, weights_digest
from mlmodels.ml.dataset import Dataset, LabelledPhoto
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.export import CALIBRATION_PHOTOS, export_engine, export_float_engine
from mlmodels.ml.features import calibration_pixels, photo_pixels
from mlmodels.ml.network import build_network
from mlmodels.ml.search import CUT, Trial, search
from mlmodels.ml.training import StartingPoint, train
from mlmodels.ml.training_types import (
    Progress,
    TrainedNetwork,
    TrainingParameters,
    TrainingStopped,
)
from mlmodels.models import ModelVersion, TrainingRun
from mlmodels.run_services import retry_database, run_update
from mlmodels.selectors import version_artifact
from mlmodels.services import version_register

logger = logging.getLogger(__name__)

MODEL_NAME = "VGG16"
CLOSING_MINUTES: Final = 5.0
CLOSING_SHARE: Final = 0.35
"""What export and evaluation may take of a run's minutes: the smaller of the two."""
SEARCH_SHARE: Final = 0.45
"""The share of a search's other minutes that its trials may take; the best is trained after."""
TRAINED_AT: Final = 0.9
"""Where the progress that is shown stands when the training itself is done."""
PARITY: Final = 0.99
PARITY_LOSS: Final = 0.005
"""int8 must give the float network's answer this often, and lose no more accuracy than that."""
PARITY_PHOTOS: Final = 300
"""At most so many photos are scored by the float network, at a quarter of a second each."""

Report = Callable[[Progress], None]


def version_train(
    *,
    run: TrainingRun,
    dataset: Dataset,
    held_out: HeldOutPhotos | None,
    report: Report,
    should_stop: Callable[[], bool],
) -> ModelVersion:
    """Train what `run` asks for on `dataset`, and register the result as a version in Staging.

    Within `run.parameters["minutes"]` from now; what it had to leave out stands in the card. `run`
    must be held by this process (`run_services`); its packages and trials are written.
    Raises TrainingStopped when `should_stop` says so, RunLost where the run is not ours any more,
    BackboneUnavailable, PhotoError and ArtifactError.
    """
    begun = time.monotonic()
    minutes = float(run.parameters["minutes"])
    closing = min(CLOSING_MINUTES, CLOSING_SHARE * minutes)
    retry_database(lambda: run_update(run=run, packages=installed_versions()))
    cache = Path(settings.CHAMPIPY_HOME) / "cache"
    weights_file = settings.CHAMPIPY_VGG16_WEIGHTS
    backbone = load_backbone(
        cache / "backbone", weights_file=Path(weights_file) if weights_file else None
    )

    def minutes_left() -> float:
        return max(0.01, minutes - closing - (time.monotonic() - begun) / 60)

    def report_stage(stage: str, fraction: float) -> None:
        if should_stop():
            raise TrainingStopped(f"The run was stopped in stage {stage!r}.")
        elapsed = time.monotonic() - begun
        report(Progress(stage, fraction, eta_seconds=elapsed * (1 - fraction) / fraction))

    parameters = _parameters(run)
    shared: dict[str, Any] = {
        "backbone": backbone, "cache_dir": cache / "features", "should_stop": should_stop,
    }  # fmt: skip
    begins_at, cut = 0.0, None
    if run.kind == TrainingRun.Kind.SEARCH:
        trials: list[dict[str, Any]] = []

        def keep(trial: Trial) -> None:
            trials.append(asdict(trial))
            retry_database(lambda: run_update(run=run, trials=trials))

        begins_at, cut = SEARCH_SHARE * TRAINED_AT, CUT
        parameters = search(
            dataset,
            replace(parameters, minutes=SEARCH_SHARE * minutes_left()),
            trials=run.parameters["trials"],
            progress=_between(report, 0.0, begins_at),
            on_trial=keep,
            **shared,
        )
    trained = train(
        dataset,
        replace(parameters, minutes=minutes_left()),
        start=_starting_point(run),
        cut=cut,
        progress=_between(report, begins_at, TRAINED_AT),
        **shared,
    )
    with tempfile.TemporaryDirectory() as scratch:
        report_stage("export", TRAINED_AT)
        engine, metrics = _export(trained, dataset, held_out, Path(scratch), report_stage)
        report_stage("registration", 0.99)
        write_artifact(
            Path(scratch) / "version",
            name=MODEL_NAME,
            labels=trained.labels,
            input_size=trained.parameters.input_size,
            temperature=trained.temperature,
            engine=engine,
            weights=trained.weights,
            changed_layers=trained.changed_layers,
            backbone=weights_digest(backbone),
            dataset_hash=run.dataset_sha256,
            seed=trained.parameters.seed,
            metrics=metrics,
            recipe=_recipe(run, trained, dataset, time.monotonic() - begun),
        )
        version, _ = retry_database(
            lambda: version_register(folder=Path(scratch) / "version", run=run, parent=run.parent)
        )
    return version


def _parameters(run: TrainingRun) -> TrainingParameters:
    asked = {name: run.parameters[name] for name in ("variables", "epochs", "views", "seed")
             if name in run.parameters}  # fmt: skip
    return TrainingParameters(**asked)


def _starting_point(run: TrainingRun) -> StartingPoint | None:
    if run.parent is None:
        return None
    return StartingPoint(version_artifact(run.parent).load_weights(), run.parent.temperature)


def _between(report: Report, begin: float, end: float) -> Report:
    """Return a report for a part of the run: its own 0 to 1 are `begin` to `end` of the whole."""

    def report_part(progress: Progress) -> None:
        eta = progress.eta_seconds
        fraction = begin + (end - begin) * progress.fraction
        if eta is not None and progress.fraction < 1:
            eta *= (1 - fraction) / ((1 - progress.fraction) * (end - begin))
        report(replace(progress, fraction=fraction, eta_seconds=eta))

    return report_part


def _export(
    trained: TrainedNetwork,
    dataset: Dataset,
    held_out: HeldOutPhotos | None,
    folder: Path,
    report_stage: Callable[[str, float], None],
) -> tuple[Path, dict[str, Any]]:
    """Write the engine, int8 if that answers as the float network does; return it and figures."""
    size = trained.parameters.input_size
    photos = held_out.photos if held_out else dataset.validation
    truth = np.array([photo.label for photo in photos])
    path = folder / "engine.tflite"
    pixels = calibration_pixels(dataset.training, size, CALIBRATION_PHOTOS)
    export_engine(trained.weights, pixels, size, path)

    report_stage("evaluation", 0.94)
    logits = engine_logits(
        LiteRTEngine.load(path, trained.weights), photos, lambda: report_stage("evaluation", 0.94)
    )
    some = photos[:PARITY_PHOTOS]
    float_logits = _float_logits(trained, some, lambda: report_stage("parity", 0.96))
    answers, float_answers = logits[: len(some)].argmax(axis=1), float_logits.argmax(axis=1)
    agreement = float(np.mean(answers == float_answers))
    loss = float(np.mean(float_answers == truth[: len(some)])) - float(
        np.mean(answers == truth[: len(some)])
    )
    precision = "int8"
    if agreement < PARITY or loss > PARITY_LOSS:
        logger.warning("int8 agrees on %.1f %% only: the float network serves", 100 * agreement)
        precision = "float16"
        export_float_engine(trained.weights, size, path)
        logits = engine_logits(
            LiteRTEngine.load(path, trained.weights),
            photos,
            lambda: report_stage("evaluation", 0.98),
        )
    metrics: dict[str, Any] = {
        "validation": {
            **trained.validation.as_dict(),
            "is_new": dataset.validation_is_new,
        },
        "engine": {
            "precision": precision,
            "int8_agreement": agreement,
            "int8_accuracy_loss": loss,
            "n": len(some),
        },
    }
    if held_out is not None:
        metrics["evaluation"] = held_out_metrics(
            logits, held_out, trained.labels, trained.temperature
        )
    return path, metrics


def _float_logits(
    trained: TrainedNetwork, photos: Sequence[LabelledPhoto], on_batch: Callable[[], None]
) -> np.ndarray:
    network = build_network(trained.weights, trained.parameters.input_size)
    rows = []
    for start in range(0, len(photos), 8):
        pixels = [photo_pixels(p, trained.parameters.input_size) for p in photos[start : start + 8]]
        rows.append(np.asarray(network(np.stack(pixels))["logits"]))
        on_batch()
    return np.concatenate(rows)


def _recipe(
    run: TrainingRun, trained: TrainedNetwork, dataset: Dataset, seconds: float
) -> dict[str, Any]:
    return {
        **asdict(trained.parameters),
        "kind": run.kind,
        "parent": str(run.parent) if run.parent else None,
        "views": trained.views,
        "temperature_ratio": trained.temperature_ratio,
        "best_epoch": trained.best_epoch,
        "refitted": trained.refitted,
        "out_of_time": trained.out_of_time,
        "seconds": round(seconds),
        "training_photos": len(dataset.training),
        "validation_photos": len(dataset.validation),
    }
