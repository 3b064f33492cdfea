"""Reads for monitoring: new photos, recent scores, unanswered predictions, and alerts."""

from datetime import datetime

from django.conf import settings
from django.db.models import Case, IntegerField, Min, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext

from common.messages import CountedMessage, Message
from mlmodels.models import ModelVersion, StageTransition
from predictions.models import SERVICE_FAILURES, Photo, Prediction
from predictions.selectors import WAITS_FOR_ITS_TURN, peoples_predictions
from supervision.models import Alert

ALERT_ORDER = ("rank", "-id")
"""The order of `alerts_listed`."""
MIN_FREE_SHARE = 0.05


def stage_since(version: ModelVersion) -> datetime:
    """Return when a version last entered its stage; if it never moved, when it was registered."""
    moved = StageTransition.objects.filter(model_version=version, to_stage=version.stage)
    return moved.order_by("-id").values_list("created_at", flat=True).first() or version.created_at


def new_photo_count(since: datetime) -> int:
    """Return how many of the current training photos became training photos after `since`.

    Photos of other species are not counted.
    """
    photos = Photo.objects.filter(split=Photo.Split.TRAINING, is_other=False)
    return photos.filter(split_at__gt=since).count()


def mean_best_score(last: int) -> tuple[float | None, int]:
    """Return (mean best score in percent, number) of the `last` most recent answered predictions.

    Those that ChampiPy asked for by itself are left out. Returns (None, 0) if none has been
    answered yet.
    """
    answered = peoples_predictions().filter(status=Prediction.Status.DONE).order_by("-id")
    best = list(answered.values_list("inference__best_score", flat=True)[:last])
    return (round(sum(best) / len(best), 2) if best else None), len(best)


def unanswered_since() -> datetime | None:
    """Return when the oldest unanswered request was made, or None if there is none.

    One that waits for its turn at the photo's host counts from then. Only requests after the last
    newly scored photo count: those that were sent to a worker, and those that failed with one of
    SERVICE_FAILURES. An answer from stored scores does not show that the workers run: it needs
    none. What ChampiPy asks for by itself counts nowhere here: nobody waits for it.
    """
    scored = peoples_predictions().filter(status=Prediction.Status.DONE, reused=False)
    last_scored = scored.order_by("-id").values_list("id", flat=True).first() or 0
    has_its_turn = Q(fetch_at=None) | Q(fetch_at__lte=timezone.now()) | ~Q(sha256="")
    sent = Q(status=Prediction.Status.PENDING) & ~WAITS_FOR_ITS_TURN & has_its_turn
    waiting = peoples_predictions().filter(
        sent | Q(error_code__in=SERVICE_FAILURES), id__gt=last_scored
    )
    return waiting.aggregate(since=Min(Coalesce("fetch_at", "created_at")))["since"]


def disk_bytes_needed(total: int) -> int:
    """Return how many bytes of a disk of `total` bytes must be free, else an alert is raised.

    Twice the reserve, below which new photos are refused, or MIN_FREE_SHARE of a larger disk.
    """
    reserve = settings.CHAMPIPY_DISK_RESERVE_MB * 10**6
    return max(2 * reserve, round(MIN_FREE_SHARE * total))


def alerts_listed() -> QuerySet[Alert]:
    """Return all alerts: open ones first, then acknowledged, then resolved; each newest first."""
    statuses = (Alert.Status.OPEN, Alert.Status.ACKNOWLEDGED)
    ranks = [When(status=status, then=Value(rank)) for rank, status in enumerate(statuses)]
    rank = Case(*ranks, default=Value(len(statuses)), output_field=IntegerField())
    return (
        Alert.objects.select_related("model_version", "acknowledged_by")
        .defer("model_version__card", "model_version__metrics", "model_version__files")
        .annotate(rank=rank)
        .order_by(*ALERT_ORDER)
    )


def open_alerts() -> QuerySet[Alert]:
    """Return the alerts that nobody has acknowledged, newest first."""
    return alerts_listed().filter(status=Alert.Status.OPEN)


def channels_configured() -> str:
    """Return the ways in which alerts are sent, as text; empty if no channel is configured."""
    by_mail = gettext("by mail") if settings.EMAIL_URL else ""
    count = len(settings.CHAMPIPY_ALERT_URLS)
    if not count:
        return by_mail
    addresses = CountedMessage(
        "to %(count)d address in CHAMPIPY_ALERT_URLS",
        "to %(count)d addresses in CHAMPIPY_ALERT_URLS",
        count,
    )
    both = Message("%(first)s and %(second)s", first=by_mail, second=addresses)
    return str(both if by_mail else addresses)
