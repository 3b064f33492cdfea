"""Shadows: versions in Staging score what people asked for lately, and nobody is told.

The inference worker does so a few photos at a time, while nobody waits for it. What a version says
is stored as inferences that nobody has asked for: they count in no statistic, make no training
photo, and answer people's predictions once the version is in production. A photo is scored once,
whichever tasks run twice. A worker that dies skips one photo, and after a few of them the
version is left alone (`Shadow`).
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from PIL import Image

from common.storage import StorageUnavailable
from mlmodels.ml.artifact import ArtifactError
from mlmodels.ml.preprocessing import PhotoError, decode_photo
from mlmodels.models import ModelVersion
from mlmodels.photo_answers import PhotoAnswer
from mlmodels.scoring import guest_scorer
from mlmodels.selectors import production_version
from predictions.inference_services import inference_of
from predictions.models import Inference, Photo, Shadow
from predictions.photo_services import photo_read
from predictions.selectors import is_scoring_awaited
from predictions.shadow_selectors import photos_to_shadow, shadow_of, shadow_versions

logger = logging.getLogger(__name__)

SECONDS: Final = 2.0
"""How long one task scores, so that pictures and explanations do not wait long."""
CLAIM_S: Final = 20.0
"""A worker that has claimed a photo is dead after this time: its task is killed after 15 s."""

Score = Callable[[Image.Image], PhotoAnswer]


def shadows_score(*, seconds: float = SECONDS) -> int:
    """Have a shadow score photos for some seconds, while nobody waits; return how many.

    The newest version comes first that has photos left and can score them.
    """
    production = production_version()
    if production is None:
        return 0
    for version in shadow_versions():
        if is_scoring_awaited():
            break
        if photos_to_shadow(shadow_of(version), production):
            done = _score_photos(version, production, seconds)
            if done:
                return done
    return 0


def shadow_retry(*, version: ModelVersion) -> None:
    """Forget what a version had trouble with, and which photos it skipped, so that it goes on."""
    Shadow.objects.filter(model_version=version).delete()


def _score_photos(version: ModelVersion, production: ModelVersion, seconds: float) -> int:
    """Have one version score a photo, and more for some seconds; return how many."""
    shadow = _claim(version)
    if shadow is None:
        return 0
    photos = photos_to_shadow(shadow, production)
    done = 0
    if photos:
        try:
            with guest_scorer(version) as score:
                # From here on: on a busy machine an engine takes seconds to load.
                deadline = time.monotonic() + seconds
                for photo in photos:
                    is_late = bool(done) and time.monotonic() >= deadline
                    if is_late or is_scoring_awaited() or not _hold(shadow, photo):
                        break
                    done += _score_photo(shadow, photo, score)
            shadow.error = ""
        except ArtifactError as error:
            if shadow.error != str(error):
                logger.error("%s can't score photos: %s", version, error)
            shadow.error = str(error)
        except StorageUnavailable as error:
            logger.warning("%s scores no photos now: %s", version, error)
    _held(shadow).update(claimed_at=None, photo_id=None, skipped=shadow.skipped, error=shadow.error)
    return done


def _score_photo(shadow: Shadow, photo: Photo, score: Score) -> bool:
    """Store what the version says of a photo; return whether it is new. Skip what is unreadable."""
    started = time.perf_counter()
    data = photo_read(sha256=photo.sha256)
    try:
        answer = score(decode_photo(data)) if data is not None else None
    except PhotoError as error:
        logger.error("%s can't be scored: %s", photo, error)
        answer = None
    if answer is None:
        shadow.skipped.append(photo.pk)
        return False
    version = shadow.model_version
    with transaction.atomic():
        # Who deletes the photo, or scores it for a person at the same time, holds this row, too.
        locked = Photo.objects.select_for_update().filter(pk=photo.pk).first()
        scored = Inference.objects.filter(photo=photo, model_version=version)
        if locked is None or scored.exists():
            return False
        inference = inference_of(
            photo=locked,
            version=version,
            answer=answer,
            duration_ms=(time.perf_counter() - started) * 1000,
            is_background=True,
        )
        inference.save(force_insert=True)
    return True


def _claim(version: ModelVersion) -> Shadow | None:
    """Note that this worker scores for a version; None if another does, or too many have died."""
    Shadow.objects.get_or_create(model_version=version)
    with transaction.atomic():
        shadow = Shadow.objects.select_for_update().get(model_version=version)
        shadow.model_version = version
        now = timezone.now()
        if shadow.claimed_at is not None:
            if shadow.claimed_at > now - timedelta(seconds=CLAIM_S):
                return None
            shadow.lost_workers += 1
            if shadow.photo_id is not None:
                shadow.skipped.append(shadow.photo_id)
            logger.error("A worker died while it scored photo %s for %s", shadow.photo_id, version)
        shadow.photo_id = None
        shadow.claimed_at = None if shadow.is_left_alone else now
        shadow.save()
    return None if shadow.is_left_alone else shadow


def _hold(shadow: Shadow, photo: Photo) -> bool:
    """Note which photo this worker scores next; return whether it still may.

    Not if another worker took it for dead, or if the version is in Staging no longer.
    """
    staged = ModelVersion.objects.filter(stage=ModelVersion.Stage.STAGING)
    now: datetime = timezone.now()
    held = _held(shadow).filter(model_version__in=staged)
    is_held = bool(held.update(claimed_at=now, photo_id=photo.pk, skipped=shadow.skipped))
    if is_held:
        shadow.claimed_at = now
    return is_held


def _held(shadow: Shadow) -> QuerySet[Shadow]:
    """Return the row of a shadow, if this worker still holds it."""
    return Shadow.objects.filter(pk=shadow.pk, claimed_at=shadow.claimed_at)
