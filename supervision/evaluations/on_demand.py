"""Has versions evaluated by a worker, one at a time and each once, and tells how far it is.

The stored Evaluation is the truth. A key in Redis says meanwhile who is at work and how far; it
lapses when its worker dies, and whoever asks next has the evaluation begun anew.
"""

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import redis
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from mlmodels.models import ModelVersion
from supervision.datasets.selectors import evaluation_set, evaluation_set_sha256
from supervision.evaluations.services import version_evaluate
from supervision.models import Evaluation

logger = logging.getLogger(__name__)

EVALUATE_TASK = "supervision.evaluations.tasks.evaluate_version"
_UNDER_WAY = "champipy:evaluation"
_LAPSES_S = 30
"""A worker that has not finished one more photo within this time is taken for dead."""
_FAILED_S = 60
"""For how long a failure is told before the evaluation is tried again."""


@dataclass(frozen=True)
class Evaluating:
    """How far the evaluation of some versions is: photos done, of all; or why it failed."""

    done: int
    total: int
    error: str = ""


@functools.cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2, decode_responses=True
    )


def evaluations_ask(*, versions: Sequence[ModelVersion]) -> Evaluating | None:
    """Have a worker evaluate those versions that are not yet, on the present evaluation set.

    Returns None when nothing is missing (every version has its Evaluation, or there are no
    evaluation photos); else how far it is: ask again in a second or two.
    """
    done = total = 0
    missing = []
    for version in versions:
        named = evaluation_set_sha256(version.labels)
        if named is None:
            continue
        sha256, photos = named
        total += photos
        if Evaluation.objects.filter(model_version=version, evaluation_set=sha256).exists():
            done += photos
        else:
            missing.append(version)
    if not missing:
        return None
    try:
        for version in missing:
            if error := _client().get(_failure_key(version)):
                return Evaluating(done, total, str(error))
        under_way = _client().get(_UNDER_WAY)
        if under_way is None:
            current_app.send_task(EVALUATE_TASK, (missing[0].pk,), expires=_LAPSES_S)
            return Evaluating(done, total)
    except (redis.RedisError, OperationalError) as error:
        logger.warning("%s cannot be evaluated now: %s", missing[0], error)
        return Evaluating(done, total, f"{missing[0]} waits for the broker, which does not answer.")
    pk, photos_done = under_way.split()
    if int(pk) in {version.pk for version in missing}:
        done += int(photos_done)
    return Evaluating(done, total)


def evaluation_make(*, version_id: int) -> None:
    """Evaluate a version on the present evaluation set, unless an evaluation is under way.

    What goes wrong is kept for a minute, for whoever asked, and raised.
    """
    version = ModelVersion.objects.filter(pk=version_id).first()
    if version is None or not _client().set(_UNDER_WAY, f"{version.pk} 0", nx=True, ex=_LAPSES_S):
        return
    done = 0

    def on_photo() -> None:
        nonlocal done
        done += 1
        _client().set(_UNDER_WAY, f"{version_id} {done}", ex=_LAPSES_S)

    try:
        held_out = evaluation_set(version.labels)
        if held_out is not None:
            version_evaluate(version=version, held_out=held_out, on_photo=on_photo)
    except Exception as error:
        message = f"The evaluation of {version} failed: {error}"
        _client().set(_failure_key(version), message, ex=_FAILED_S)
        raise
    finally:
        _client().delete(_UNDER_WAY)


def _failure_key(version: ModelVersion) -> str:
    return f"{_UNDER_WAY}:failure:{version.pk}"
