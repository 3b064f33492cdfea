"""Writes on inferences: store one, and judge its photo for training once somebody asks for it."""

from dataclasses import asdict

from django.conf import settings
from django.db import transaction

from accounts.models import User
from mlmodels.models import ModelVersion
from mlmodels.photo_answers import PhotoAnswer
from predictions.models import Inference, Photo
from predictions.photo_services import photo_keep_for_training


def inference_store(
    *,
    photo: Photo,
    version: ModelVersion,
    answer: PhotoAnswer,
    duration_ms: float,
    is_background: bool,
) -> Inference:
    """Store what a version says of a photo. Call it in a transaction that has locked the photo.

    `is_background`: nobody asked for it. Raises IntegrityError if it is stored already.
    """
    best = max(answer.scores)
    return Inference.objects.create(
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
        if photo is not None and unasked.update(is_background=False):
            photo_keep_if_sure(photo=photo, inference=inference, user=user)


def photo_keep_if_sure(*, photo: Photo, inference: Inference, user: User | None) -> None:
    """Keep a photo for training if its score is high enough, and it is in scope.

    Call it in a transaction that has locked the photo.
    """
    is_sure = inference.best_score > settings.CHAMPIPY_KEEP_SCORE
    if is_sure and inference.in_scope is not False:
        photo_keep_for_training(photo=photo, species_name=inference.best_species, user=user)
