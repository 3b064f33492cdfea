"""Trains the new version that a run requests. Loads TensorFlow, so only trainings import it."""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
from django.conf import settings

from mlmodels.evaluation import EngineOutputs, HeldOutPhotos, engine_outputs, held_out_metrics
from mlmodels.ml.artifact import installed_versions, write_artifact
from mlmodels.ml.backbone import load_backbone, weights_digest
from mlmodels.ml.dataset import Dataset, LabelledPhoto
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.export import CALIBRATION_PHOTOS, export_engine, export_float_engine
from mlmodels.ml.features import calibration_pixels, photo_pixels
from mlmodels.ml.network import build_network
from mlmodels.ml.parity import compare_engines
from mlmodels.ml.search import SearchResult, Trial, search
from mlmodels.ml.time_left import FinalStages
from mlmodels.ml.training import train
from mlmodels.ml.training_types import (
    Progress,
    StartingPoint,
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
MAX_EXPORT_MINUTES: Final = 5.0
MAX_EXPORT_SHARE: Final = 0.35
"""Export and evaluation get the smaller of these: the minutes, or the share of the time budget."""
SEARCH_SHARE: Final = 0.45
"""Share of a search's remaining minutes for its trials; the best trial is trained afterwards."""
TRAINING_PROGRESS: Final = 0.9
"""The displayed progress, 0 to 1, when the training itself is done."""
FINAL_PROGRESS: Final = {
    "export": (TRAINING_PROGRESS, 0.94),
    "evaluation": (0.94, 0.96),
    "parity": (0.96, 0.99),
    "registration": (0.99, 1.0),
}
"""The displayed progress at the begin and the end of each stage after the training."""
MAX_PARITY_PHOTOS: Final = 300
"""The float network scores at most this many photos, at a quarter of a second each."""

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class TrainedVersion:
    """A version that was just registered, with its answers to the held-out photos."""

    version: ModelVersion
    outputs: EngineOutputs | None
    """In the order of the held-out photos; None where there are none."""


def version_train(
    *,
    run: TrainingRun,
    dataset: Dataset,
    held_out: HeldOutPhotos | None,
    report: Report,
    should_stop: Callable[[], bool],
) -> TrainedVersion:
    """Train the version that `run` requests on `dataset`, register it in Staging and return it.

    The time budget is `run.parameters["minutes"]`, counted from now; the card records what did not
    fit. This process must hold `run` (`run_services`), whose packages and trials are written.
    Raises TrainingStopped if `should_stop` returns True, RunLost if this process no longer holds
    the run, BackboneUnavailable, PhotoError and ArtifactError.
    """
    started = time.monotonic()
    minutes = float(run.parameters["minutes"])
    export_minutes = min(MAX_EXPORT_MINUTES, MAX_EXPORT_SHARE * minutes)
    retry_database(lambda: run_update(run=run, packages=installed_versions()))
    cache = Path(settings.CHAMPIPY_HOME) / "cache"
    weights_file = settings.CHAMPIPY_VGG16_WEIGHTS
    backbone = load_backbone(
        cache / "backbone", weights_file=Path(weights_file) if weights_file else None
    )

    def minutes_left() -> float:
        return max(0.01, minutes - export_minutes - (time.monotonic() - started) / 60)

    evaluated = held_out.photos if held_out else dataset.validation
    final_stages = FinalStages(
        evaluated=len(evaluated),
        compared=min(len(evaluated), MAX_PARITY_PHOTOS),
        clock=time.monotonic,
    )

    def report_stage(stage: str, done: float = 0.0) -> None:
        if should_stop():
            raise TrainingStopped(f"The run was stopped in stage {stage!r}.")
        begin, end = FINAL_PROGRESS[stage]
        seconds_left = final_stages.seconds_left(stage, done)
        report(Progress(stage, begin + (end - begin) * done, eta_seconds=seconds_left))

    parameters = _parameters(run)
    shared: dict[str, Any] = {
        "backbone": backbone, "cache_dir": cache / "features", "should_stop": should_stop,
        "max_cache_bytes": 1_000_000 * settings.CHAMPIPY_FEATURE_CACHE_MB,
    }  # fmt: skip
    search_progress = 0.0
    found: SearchResult | None = None
    if run.kind == TrainingRun.Kind.SEARCH:
        trials: list[dict[str, Any]] = []

        def record_trial(trial: Trial) -> None:
            trials.append(asdict(trial))
            retry_database(lambda: run_update(run=run, trials=trials))

        search_progress = SEARCH_SHARE * TRAINING_PROGRESS
        found = search(
            dataset,
            replace(parameters, minutes=SEARCH_SHARE * minutes_left()),
            trials=run.parameters["trials"],
            progress=_report_between(report, 0.0, search_progress, final_stages.total_s),
            on_trial=record_trial,
            **shared,
        )
        parameters = found.parameters
    trained = train(
        dataset,
        replace(parameters, minutes=minutes_left()),
        start=_starting_point(run),
        cut=found.cut if found else None,
        progress=_report_between(report, search_progress, TRAINING_PROGRESS, final_stages.total_s),
        **shared,
    )
    with tempfile.TemporaryDirectory() as scratch:
        report_stage("export")
        engine, metrics, outputs = _export(trained, dataset, held_out, Path(scratch), report_stage)
        report_stage("registration")
        write_artifact(
            Path(scratch) / "version",
            name=MODEL_NAME,
            labels=trained.labels,
            input_size=trained.parameters.input_size,
            temperature=trained.temperature,
            pooling=trained.parameters.pooling,
            calibration=trained.calibration,
            engine=engine,
            weights=trained.weights,
            changed_layers=trained.changed_layers,
            backbone=weights_digest(backbone),
            dataset_hash=run.dataset_sha256,
            seed=trained.parameters.seed,
            metrics=metrics,
            recipe=_recipe(run, trained, dataset, found, time.monotonic() - started),
        )
        version, _ = retry_database(
            lambda: version_register(folder=Path(scratch) / "version", run=run, parent=run.parent)
        )
    return TrainedVersion(version, outputs if held_out else None)


def _parameters(run: TrainingRun) -> TrainingParameters:
    requested = {name: run.parameters[name] for name in ("variables", "epochs", "views", "seed")
                 if name in run.parameters}  # fmt: skip
    if run.parent is not None:  # the pooling decides the shape of the head
        requested["pooling"] = version_artifact(run.parent).card.pooling
    return TrainingParameters(**requested)


def _starting_point(run: TrainingRun) -> StartingPoint | None:
    if run.parent is None:
        return None
    return StartingPoint(version_artifact(run.parent).load_weights(), run.parent.temperature)


def _report_between(report: Report, begin: float, end: float, later_s: float) -> Report:
    """Return a report for a part of the run that spans `begin` to `end` of the whole (0 to 1).

    `later_s` are the seconds that the run is expected to take after this part.
    """

    def report_part(progress: Progress) -> None:
        eta = progress.eta_seconds
        fraction = begin + (end - begin) * progress.fraction
        eta = None if eta is None else eta + later_s
        report(replace(progress, fraction=fraction, eta_seconds=eta))

    return report_part


def _export(
    trained: TrainedNetwork,
    dataset: Dataset,
    held_out: HeldOutPhotos | None,
    folder: Path,
    report_stage: Callable[[str, float], None],
) -> tuple[Path, dict[str, Any], EngineOutputs]:
    """Write the engine; return its path, its metrics, and its outputs for the evaluated photos.

    It is int8 if its answers match the float network's, else float16.
    """
    size = trained.parameters.input_size
    photos = held_out.photos if held_out else dataset.validation
    truth = np.array([photo.label for photo in photos])
    path = folder / "engine.tflite"
    pooling = trained.parameters.pooling
    if trained.stem is not None:  # what the head was fitted to
        shutil.copyfile(trained.stem, path)
    else:
        pixels = calibration_pixels(dataset.training, size, CALIBRATION_PHOTOS)
        export_engine(trained.weights, pixels, size, path, pooling)

    outputs = _outputs(trained, path, photos, report_stage)
    compared = photos[:MAX_PARITY_PHOTOS]
    report_stage("parity", 0)
    float_logits = _float_logits(trained, compared, lambda done: report_stage("parity", done))
    parity = compare_engines(
        outputs.logits[: len(compared)].argmax(axis=1),
        float_logits.argmax(axis=1),
        truth[: len(compared)],
    )
    precision = "int8"
    if not parity.holds:
        logger.warning(
            "int8 agrees with the float network on only %.1f %% of the photos, or is right on fewer"
            " by more than chance explains (only int8: %d, only float: %d, p = %.3f): the engine is"
            " written as float16",
            100 * parity.agreement,
            parity.only_int8,
            parity.only_float,
            parity.p_value,
        )
        precision = "float16"
        export_float_engine(trained.weights, size, path, pooling)
        outputs = _outputs(trained, path, photos, report_stage)
    metrics: dict[str, Any] = {
        "validation": {
            **trained.validation.as_dict(),
            "is_new": dataset.validation_is_new,
        },
        **({"out_of_fold": trained.figures} if trained.figures else {}),
        "engine": {
            "precision": precision,
            "int8_agreement": parity.agreement,
            "int8_accuracy_loss": parity.accuracy_loss,
            "int8_p_value": parity.p_value,
            "n": parity.n,
        },
    }
    if held_out is not None:
        metrics["evaluation"] = held_out_metrics(
            outputs.logits, held_out, trained.labels, trained.temperature
        )
    return path, metrics, outputs


def _outputs(
    trained: TrainedNetwork,
    path: Path,
    photos: Sequence[LabelledPhoto],
    report_stage: Callable[[str, float], None],
) -> EngineOutputs:
    """Return the outputs of the engine at `path`."""
    report_stage("evaluation", 0)
    done = count(1)
    return engine_outputs(
        LiteRTEngine.load(path, trained.weights, trained.parameters.pooling),
        photos,
        lambda: report_stage("evaluation", next(done) / len(photos)),
    )


def _float_logits(
    trained: TrainedNetwork, photos: Sequence[LabelledPhoto], on_batch: Callable[[float], None]
) -> np.ndarray:
    """Return the float network's logits; call `on_batch` with the completed share, 0 to 1."""
    parameters = trained.parameters
    network = build_network(trained.weights, parameters.input_size, parameters.pooling)
    rows = []
    for start in range(0, len(photos), 8):
        pixels = [photo_pixels(p, parameters.input_size) for p in photos[start : start + 8]]
        rows.append(np.asarray(network({"maps": np.stack(pixels)})["logits"]))
        on_batch(min(1.0, (start + 8) / len(photos)))
    return np.concatenate(rows)


def _recipe(
    run: TrainingRun,
    trained: TrainedNetwork,
    dataset: Dataset,
    found: SearchResult | None,
    seconds: float,
) -> dict[str, Any]:
    compared = found.poolings if found else ()
    return {
        **asdict(trained.parameters),
        "other_photos": trained.other_photos,
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
        **({"compared_poolings": [asdict(one) for one in compared]} if compared else {}),
    }
