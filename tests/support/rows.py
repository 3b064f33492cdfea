"""Creates rows without files or trainings, for tests of code that only reads the database."""

import hashlib

from django.utils import timezone

from mlmodels.models import ModelVersion
from predictions.models import Inference, Photo, Prediction
from supervision.datasets.selectors import MIN_PHOTOS, evaluation_set_sha256
from supervision.datasets.services import evaluation_set_freeze
from supervision.models import Evaluation, EvaluationAnswer
from tests.support.labelled_photos import ten_species


def photo_rows(each: int = MIN_PHOTOS) -> None:
    """Create rows of training photos, `each` per species; by default enough to request a run."""
    Photo.objects.bulk_create(
        Photo(
            sha256=hashlib.sha256(f"{species.name} {number}".encode()).hexdigest(),
            file=f"{species.pk}-{number}.jpg",
            bytes=1,
            width=160,
            height=120,
            perceptual_hash=number,
            label=species,
            label_source=Photo.LabelSource.IMPORTED,
            split=Photo.Split.TRAINING,
            split_at=timezone.now(),
        )
        for species in ten_species()
        for number in range(each)
    )


def version_row(number: int = 1, stage: str = "Production") -> ModelVersion:
    """Create the row of a version that knows the ten species."""
    return ModelVersion.objects.create(
        name="VGG16",
        version=number,
        stage=stage,
        labels=[species.name for species in ten_species()],
        input_size=224,
        preprocessing="rgb-squash-bicubic-v1",
        temperature=1.0,
        files={"engine.tflite": {"sha256": str(number), "size": 1}},
        metrics={"evaluation": {"n": 10, "correct": 9, "accuracy": 0.9}},
        card={},
    )


def evaluation_rows(version: ModelVersion, *, right: int, n: int = 10) -> Evaluation:
    """Create rows of evaluation photos and an evaluation in which `right` of `n` were correct."""
    photo_rows(1)
    Photo.objects.update(split=Photo.Split.EVALUATION)
    evaluation_set_freeze(by=None, reason="test")
    evaluation_set = evaluation_set_sha256(version.labels)
    assert evaluation_set is not None
    metrics = {
        "n": n,
        "accuracy": right / n,
        "ci95": [0.12345, 0.98765],
        "per_species": [
            {"species": "Aleuria aurantia", "n": 3, "accuracy": 2 / 3},
            {"species": "Amanita muscaria", "n": 0, "accuracy": None},
        ],
        "evaluation_set": evaluation_set[0],
    }
    return Evaluation.objects.create(
        model_version=version,
        evaluation_set=evaluation_set[0],
        accuracy=right / n,
        n=n,
        metrics=metrics,
    )


def evaluation_with(
    version: ModelVersion,
    *answers: tuple[str, str, str, float],
    scopes: dict[str, float] | None = None,
) -> Evaluation:
    """Create an evaluation with these answers: SHA-256, true species, answer, score in percent."""
    evaluation = Evaluation.objects.create(
        model_version=version,
        evaluation_set=f"set {Evaluation.objects.count()}",
        accuracy=0.5,
        n=len(answers),
        metrics={"n": len(answers), "accuracy": 0.5, "ci95": [0.1, 0.9]},
        scopes=scopes or {},
    )
    EvaluationAnswer.objects.bulk_create(
        EvaluationAnswer(
            evaluation=evaluation,
            sha256=sha256,
            species=species,
            answered=answered,
            score=score,
            is_right=species == answered,
        )
        for sha256, species, answered, score in answers
    )
    return evaluation


def inference_fields(version: ModelVersion, scores: list[float]) -> dict[str, object]:
    """Return the fields of an inference with these scores."""
    best = max(scores)
    species = version.labels[scores.index(best)]
    return {"scores": scores, "best_score": best, "best_species": species, "duration_ms": 1}


def answered_prediction(score: float, version: ModelVersion, **more) -> Prediction:
    photo, _ = Photo.objects.get_or_create(
        sha256=f"{score:064}",
        defaults={"file": "a", "bytes": 1, "width": 9, "height": 9, "perceptual_hash": 0},
    )
    inference, _ = Inference.objects.get_or_create(
        photo=photo,
        model_version=version,
        defaults=inference_fields(version, [100 - score, score, *[0] * 8]),
    )
    fields = {"file": "a.jpg", "is_upload": True, "status": "done", "inference": inference}
    return Prediction.objects.create(**fields | more)
