"""Trains a new version from a dataset; loads TensorFlow, so only trainings import it."""

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.utils import timezone

from mlmodels.evaluation import HeldOutPhotos, engine_logits, held_out_metrics
from mlmodels.ml.artifact import installed_versions, write_artifact
from mlmodels.ml.backbone import load_backbone, weights_digest
from mlmodels.ml.dataset import Dataset
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.export import export_engine
from mlmodels.ml.features import calibration_pixels, photo_pixels
from mlmodels.ml.network import build_network
from mlmodels.ml.training import train
from mlmodels.ml.training_types import Progress, TrainedNetwork, TrainingParameters
from mlmodels.models import ModelVersion, TrainingRun
from mlmodels.services import version_register

logger = logging.getLogger(__name__)

MODEL_NAME = "VGG16"
CALIBRATION_PHOTOS = 100
"""Training photos from which the quantisation learns the activations' ranges."""


def training_run(
    *,
    dataset: Dataset,
    manifest: Mapping[str, Any],
    held_out: HeldOutPhotos | None,
    parameters: TrainingParameters,
    report: Callable[[Progress], None],
) -> ModelVersion:
    """Train the network on `dataset`, and register the result as a new version in Staging.

    The run is recorded with its exact dataset, seed and packages. Whatever goes wrong ends it as
    failed, with the error, and is raised again.
    """
    run = TrainingRun.objects.create(
        kind=TrainingRun.Kind.TRAIN,
        parameters=asdict(parameters),
        dataset=manifest,
        dataset_sha256=manifest_sha256(manifest),
        packages=installed_versions(),
    )
    try:
        version = _train(run, dataset, held_out, parameters, report)
    except BaseException as error:
        run.status, run.error = TrainingRun.Status.FAILED, f"{type(error).__name__}: {error}"
        raise
    else:
        run.status = TrainingRun.Status.SUCCEEDED
    finally:
        run.finished_at = timezone.now()
        run.save()
    return version


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the hash that names a dataset: over its canonical JSON."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _train(
    run: TrainingRun,
    dataset: Dataset,
    held_out: HeldOutPhotos | None,
    parameters: TrainingParameters,
    report: Callable[[Progress], None],
) -> ModelVersion:
    cache = Path(settings.CHAMPIPY_HOME) / "cache"
    weights_file = settings.CHAMPIPY_VGG16_WEIGHTS
    backbone = load_backbone(
        cache / "backbone", weights_file=Path(weights_file) if weights_file else None
    )

    def record(progress: Progress) -> None:
        if progress.record is not None:
            run.history = [*run.history, asdict(progress.record)]
            run.save(update_fields=["history"])
        report(progress)

    trained = train(
        dataset, parameters, backbone=backbone, cache_dir=cache / "features", progress=record
    )
    with tempfile.TemporaryDirectory(dir=settings.CHAMPIPY_HOME) as scratch:
        engine = Path(scratch) / "engine.tflite"
        pixels = calibration_pixels(dataset.training, parameters.input_size, CALIBRATION_PHOTOS)
        export_engine(trained.weights, pixels, parameters.input_size, engine)
        metrics: dict[str, Any] = {"validation": trained.validation.as_dict()}
        if held_out is not None:
            metrics |= _measure(trained, LiteRTEngine.load(engine), held_out)
        folder = Path(scratch) / "version"
        write_artifact(
            folder,
            name=MODEL_NAME,
            labels=trained.labels,
            input_size=parameters.input_size,
            temperature=trained.temperature,
            engine=engine,
            weights=trained.weights,
            changed_layers=trained.changed_layers,
            backbone=weights_digest(backbone),
            dataset_hash=run.dataset_sha256,
            seed=parameters.seed,
            metrics=metrics,
            recipe={
                **asdict(parameters),
                "views": trained.views,
                "best_epoch": trained.best_epoch,
                "refitted": trained.refitted,
                "seconds": round(trained.seconds),
                "training_photos": len(dataset.training),
                "validation_photos": len(dataset.validation),
            },
        )
        version, _ = version_register(folder=folder, run=run)
    return version


def _measure(
    trained: TrainedNetwork, engine: LiteRTEngine, held_out: HeldOutPhotos
) -> dict[str, Any]:
    """Evaluate the engine, and the float network that it was quantised from."""
    logits = engine_logits(engine, held_out.photos)
    network = build_network(trained.weights, engine.input_size)
    pixels = [photo_pixels(photo, engine.input_size) for photo in held_out.photos]
    float_logits = np.concatenate(
        [
            np.asarray(network(np.stack(pixels[start : start + 16]))["logits"])
            for start in range(0, len(pixels), 16)
        ]
    )
    float_metrics = held_out_metrics(float_logits, held_out, trained.labels, trained.temperature)
    return {
        "evaluation": held_out_metrics(logits, held_out, trained.labels, trained.temperature),
        "evaluation_of_float": {
            name: float_metrics[name] for name in ("n", "correct", "accuracy", "ci95", "ece")
        },
        "engine_agrees_with_float": float(np.mean(logits.argmax(1) == float_logits.argmax(1))),
    }
