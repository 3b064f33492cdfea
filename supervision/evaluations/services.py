"""Evaluates versions on held-out photos, and stores the results."""

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
from django.conf import settings
from django.db import transaction

from mlmodels.evaluation import (
    EngineOutputs,
    HeldOutOthers,
    HeldOutPhotos,
    answer_metrics,
    engine_outputs,
    held_out_metrics,
    in_sizes_of,
    scope_percentages,
)
from mlmodels.ml.answers import AnswerCalibration, scope_scores
from mlmodels.ml.calibration import softmax
from mlmodels.ml.dataset import OtherPhoto
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.features import photo_pixels
from mlmodels.models import ModelVersion
from mlmodels.selectors import answer_calibration, version_artifact
from supervision.evaluations.selectors import present_evaluation
from supervision.models import Evaluation, EvaluationAnswer, EvaluationOther

TIMED_PHOTOS = 9
"""Number of photos that the engine is timed on."""


def version_evaluate(
    *,
    version: ModelVersion,
    held_out: HeldOutPhotos,
    others: HeldOutOthers | None = None,
    on_photo: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Evaluate a version's engine on a set of photos; return a stored evaluation if there is one.

    A version with a calibration is also measured on `others`, the photos of other species; it is
    measured again where the stored evaluation is of another set of them. Calls `on_photo` after
    each photo. Raises ArtifactError if the version's files are not intact.
    """
    others_set = others.sha256 if others else None
    stored = present_evaluation(version, held_out.sha256, others_set)
    if stored is not None:
        return stored
    engine = _engine(version)
    outputs = engine_outputs(engine, held_out.photos, on_photo)
    return _store(version, held_out, outputs, others, on_photo, engine=engine)


def evaluation_store(
    *,
    version: ModelVersion,
    held_out: HeldOutPhotos,
    outputs: EngineOutputs,
    others: HeldOutOthers | None = None,
) -> Evaluation:
    """Store what a version's engine answered to the held-out photos when it was trained.

    Only the photos of other species are scored here, and the time for a photo is measured.
    Raises ArtifactError if the version's files are not intact.
    """
    return _store(version, held_out, outputs, others, engine=_engine(version))


def _engine(version: ModelVersion) -> LiteRTEngine:
    return version_artifact(version).load_engine(settings.CHAMPIPY_INFERENCE_THREADS or 1)


def _store(
    version: ModelVersion,
    held_out: HeldOutPhotos,
    outputs: EngineOutputs,
    others: HeldOutOthers | None,
    on_photo: Callable[[], object] = lambda: None,
    *,
    engine: LiteRTEngine,
) -> Evaluation:
    logits = outputs.logits
    metrics = held_out_metrics(logits, held_out, tuple(version.labels), version.temperature)
    calibration = answer_calibration(version)
    scopes: dict[str, float] = {}
    other_answers: list[EvaluationOther] = []
    if calibration is not None:
        copies = in_sizes_of(others, held_out) if others else []
        other_outputs = engine_outputs(engine, copies, on_photo) if copies else None
        metrics |= answer_metrics(outputs, held_out, calibration, others, other_outputs)
        scopes = _scopes([photo.sha256 for photo in held_out.photos], outputs, calibration)
        if others is not None and other_outputs is not None:
            other_answers = _other_answers(version, others.new, other_outputs, calibration)
            scopes |= {each.sha256: each.scope for each in other_answers}
    ms_per_photo = _ms_per_photo(engine, held_out)
    with transaction.atomic():
        evaluation, _ = Evaluation.objects.update_or_create(
            model_version=version,
            evaluation_set=held_out.sha256,
            defaults={
                "accuracy": metrics["accuracy"],
                "n": metrics["n"],
                "metrics": metrics,
                "scopes": scopes,
                "ms_per_photo": ms_per_photo,
            },
        )
        evaluation.answers.all().delete()
        evaluation.others.all().delete()
        EvaluationAnswer.objects.bulk_create(
            _answers(evaluation, logits[:, : len(version.labels)], held_out), batch_size=2000
        )
        for each in other_answers:
            each.evaluation = evaluation
        EvaluationOther.objects.bulk_create(other_answers, batch_size=2000)
    return evaluation


def _answers(
    evaluation: Evaluation, logits: np.ndarray, held_out: HeldOutPhotos
) -> list[EvaluationAnswer]:
    """Return a row for each photo, which is not saved yet. `logits` are [n, k]."""
    version = evaluation.model_version
    scores = softmax(logits, version.temperature)
    best = scores.max(axis=1)
    bins = evaluation.metrics["reliability"]
    # The bins hold equally many photos by rank, and equal scores are never in two of them.
    ranks = np.argsort(np.argsort(best, kind="stable"), kind="stable")
    bin_of = np.searchsorted(np.cumsum([each["n"] for each in bins]), ranks, side="right")
    return [
        EvaluationAnswer(
            evaluation=evaluation,
            sha256=photo.sha256,
            species=version.labels[photo.label],
            answered=version.labels[answered],
            score=round(100 * float(score), 2),
            is_right=photo.label == answered,
            score_bin=int(score_bin) if bins else None,
        )
        for photo, answered, score, score_bin in zip(
            held_out.photos, scores.argmax(axis=1).tolist(), best, bin_of, strict=True
        )
    ]


def _other_answers(
    version: ModelVersion,
    photos: Sequence[OtherPhoto],
    outputs: EngineOutputs,
    calibration: AnswerCalibration,
) -> list[EvaluationOther]:
    """Return a row for each photo of another species, which is not saved, without its evaluation.

    `outputs` are for `photos`, in the same order.
    """
    scores = softmax(outputs.logits[:, : len(version.labels)], version.temperature)
    scopes = scope_scores(outputs.logits, outputs.lognorms, calibration)
    return [
        EvaluationOther(
            sha256=photo.sha256,
            name=photo.name,
            genus=photo.group,
            answered=version.labels[int(row.argmax())],
            score=round(100 * float(row.max()), 2),
            scope=scope,
            in_scope=bool(is_in_scope),
        )
        for photo, row, scope, is_in_scope in zip(
            photos,
            scores,
            scope_percentages(outputs, calibration),
            scopes >= calibration.scope.threshold,
            strict=True,
        )
    ]


def _scopes(
    names: Sequence[str], outputs: EngineOutputs, calibration: AnswerCalibration
) -> dict[str, float]:
    return dict(zip(names, scope_percentages(outputs, calibration), strict=True))


def _ms_per_photo(engine: LiteRTEngine, held_out: HeldOutPhotos) -> float:
    """Return the engine's median time for a photo in milliseconds, without decoding."""
    times = []
    for photo in held_out.photos[:TIMED_PHOTOS]:
        pixels = photo_pixels(photo, engine.input_size)
        started = time.perf_counter()
        engine.score(pixels)
        times.append(time.perf_counter() - started)
    return round(1000 * statistics.median(times), 1)
