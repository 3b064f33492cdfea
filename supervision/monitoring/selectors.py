"""Reads of supervision: how the service does."""

from datetime import datetime

from django.conf import settings
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When

from mlmodels.models import ModelVersion, StageTransition
from predictions.models import Photo, Prediction
from supervision.models import Alert

FAULTS_OF_OURS = ("no_active_model", "prediction_failed")
"""Codes of predictions that failed for want of a working service, whatever the photo was."""


def stage_since(version: ModelVersion) -> datetime:
    """Return when a version came into its stage the last time; when it was registered at first."""
    moved = StageTransition.objects.filter(model_version=version, to_stage=version.stage)
    return moved.order_by("-id").values_list("created_at", flat=True).first() or version.created_at


def new_photo_count(since: datetime) -> int:
    """Return how many of today's training photos came in after a moment."""
    return Photo.objects.filter(split=Photo.Split.TRAINING, split_at__gt=since).count()


def mean_best_score(last: int) -> tuple[float | None, int]:
    """Return the mean best score in percent of the last answered predictions, and their number.

    None and 0 where none has been answered yet.
    """
    answered = Prediction.objects.filter(status=Prediction.Status.DONE).order_by("-id")
    best = [max(scores) for scores in answered.values_list("inference__scores", flat=True)[:last]]
    return (round(sum(best) / len(best), 2) if best else None), len(best)


def unanswered_since() -> datetime | None:
    """Return since when the oldest request waits of those after which no new photo was scored.

    A request waits while it is pending, and for ever where it failed by a fault of ours. None where
    none does. Answers from stored scores are no sign of life: they need no worker.
    """
    scored = Prediction.objects.filter(status=Prediction.Status.DONE, reused=False)
    last_scored = scored.order_by("-id").values_list("id", flat=True).first() or 0
    waiting = Prediction.objects.filter(
        Q(status=Prediction.Status.PENDING) | Q(error_code__in=FAULTS_OF_OURS), id__gt=last_scored
    )
    return waiting.order_by("id").values_list("created_at", flat=True).first()


def alerts_listed() -> QuerySet[Alert]:
    """Return all alerts: the open ones first, then the acknowledged, each newest first."""
    statuses = (Alert.Status.OPEN, Alert.Status.ACKNOWLEDGED)
    place = [When(status=status, then=Value(place)) for place, status in enumerate(statuses)]
    return (
        Alert.objects.select_related("model_version", "acknowledged_by")
        .defer("model_version__card", "model_version__metrics", "model_version__files")
        .order_by(Case(*place, default=Value(len(statuses)), output_field=IntegerField()), "-id")
    )


def open_alerts() -> QuerySet[Alert]:
    """Return the alerts that nobody has acknowledged, newest first."""
    return alerts_listed().filter(status=Alert.Status.OPEN)


def channels_configured() -> str:
    """Say by which ways alerts leave the admin; empty where by none."""
    channels = ["by mail"] if settings.EMAIL_URL else []
    if count := len(settings.CHAMPIPY_ALERT_URLS):
        channels.append(f"to {count} address{'es' if count > 1 else ''} in CHAMPIPY_ALERT_URLS")
    return " and ".join(channels)
