"""Inferences: make one to store, and judge its photo for training once somebody asks for it."""

from dataclasses import asdict

from django.conf import settings
from django.db import transaction

from accounts.models import User
from mlmodels.models import ModelVersion
from mlmodels.photo_answers import PhotoAnswer
from predictions.models import Inference, Photo
from predictions.photo_services import photo_keep_for_training


def inference_of(
    *,
    photo: Photo,
    version: ModelVersion,
    answer: PhotoAnswer,
    duration_ms: float,
    is_background: bool,
) -> Inference:
    """Return what a version says of a photo, not saved yet. Save it once the photo is locked.

    `is_background`: nobody asked for it.
    """
    best = max(answer.scores)
    return Inference(
        photo=photo,
        model_version=version,
        best_score=best,
        best_species=version.labels[answer.scores.index(best)],
        **asdict(answer),
        duration_ms=round(duration_ms, 1),
        is_background=is_background,
    )


def inference_ask(*, inference: Inference, user: User | None) -> None:
    """Treat the photo of a background inference as scored for `user`, the first person who asks.

    It is kept for training as after a first score. Where others ask at the same time, one of them
    counts; if the process dies before, the next who asks does.
    """
    with transaction.atomic():
        photo = Photo.objects.select_for_update().filter(pk=inference.photo_id).first()
        unasked = Inference.objects.filter(pk=inference.pk, is_background=True)
        if photo is not None and unasked.update(is_background=False) and is_sure(inference):
            photo_keep_for_training(photo=photo, species_name=inference.best_species, user=user)


def is_sure(inference: Inference) -> bool:
    """Return whether a photo's score is high enough to train on it, and it is in scope."""
    return inference.best_score > settings.CHAMPIPY_KEEP_SCORE and inference.in_scope is not False
