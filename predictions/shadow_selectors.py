"""Reads for shadows: which versions score which photos, and which both versions have scored.

A shadow is a version in Staging that scores what people asked for lately, beside production.
"""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from mlmodels.models import ModelVersion
from predictions.models import Inference, Photo, Prediction, Shadow
from predictions.selectors import peoples_predictions

MAX_SHADOWS: Final = 3
"""Only this many versions in Staging are shadows, the newest ones."""
SHADOW_DAYS: Final = 30
"""Lately: within this many days."""
MAX_ASKED: Final = 20
"""Times as many predictions as photos are wanted, among which these are looked for: people may ask
for one photo many times."""


def are_shadows_on() -> bool:
    """Return whether versions in Staging score photos at all."""
    return settings.CHAMPIPY_SHADOW_PHOTOS > 0


def shadow_versions() -> list[ModelVersion]:
    """Return the versions that are shadows now, newest first; none if shadows are switched off.

    Their cards and metrics are deferred.
    """
    if not are_shadows_on():
        return []
    staged = ModelVersion.objects.filter(stage=ModelVersion.Stage.STAGING)
    return list(staged.defer("card", "metrics").order_by("-id")[:MAX_SHADOWS])


def shadow_inferences(
    version: ModelVersion, production: ModelVersion, *, until: datetime | None = None
) -> QuerySet[Inference]:
    """Return what `version` said of the photos that people asked for lately, or lately at `until`.

    Only of those that `production` has scored, too.
    """
    asked = _asked_lately(until).filter(inference__photo=OuterRef("photo"))
    return Inference.objects.filter(
        Exists(_inferences(production, "photo")), Exists(asked), model_version=version
    ).order_by()


def shadow_of(version: ModelVersion) -> Shadow:
    """Return the row of a version's shadow, or a new one that is not saved."""
    shadow = Shadow.objects.filter(model_version=version).first()
    return shadow or Shadow(model_version=version)


def photos_to_shadow(shadow: Shadow, production: ModelVersion) -> list[Photo]:
    """Return the stored photos that a shadow is still to score, the last asked for first.

    They are among the CHAMPIPY_SHADOW_PHOTOS photos that people asked for last, and only as many as
    `shadow_inferences` lacks of that number. None if too many workers have died.
    """
    version, limit = shadow.model_version, settings.CHAMPIPY_SHADOW_PHOTOS
    if shadow.is_left_alone:
        return []
    room = limit - shadow_inferences(version, production).count()
    if room <= 0:
        return []
    last = _asked_lately().order_by("-created_at").values_list("inference__photo", flat=True)
    asked = list(dict.fromkeys(last[: MAX_ASKED * limit]))[:limit]
    photos = (
        Photo.objects.filter(Exists(_inferences(production, "pk")), pk__in=asked)
        .filter(~Exists(_inferences(version, "pk")))
        .exclude(file="")
        .exclude(pk__in=shadow.skipped)
        .in_bulk()
    )
    return [photos[pk] for pk in asked if pk in photos][:room]


def _inferences(version: ModelVersion, photo: str) -> QuerySet[Inference]:
    """Return the inferences of `version` of the outer query's photo, whose id is in `photo`."""
    return Inference.objects.filter(photo=OuterRef(photo), model_version=version).order_by()


def _asked_lately(until: datetime | None = None) -> QuerySet[Prediction]:
    end = until or timezone.now()
    asked_for = (end - timedelta(days=SHADOW_DAYS), end)
    return peoples_predictions().filter(status=Prediction.Status.DONE, created_at__range=asked_for)
