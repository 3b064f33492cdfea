"""Has a worker evaluate versions, one at a time and each once, and reports the progress.

The stored Evaluation is the truth. Until it exists, a lock in Valkey keeps other workers away, and
others hold the number of photos scored and that the worker was asked. All expire if the worker
dies; the next request starts the evaluation again.
"""

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import redis

from common.broker import send_task
from common.messages import Message, Text, message_dump, message_load, message_of
from common.valkey import valkey_client
from mlmodels.models import ModelVersion
from supervision.datasets.selectors import (
    current_evaluation_set,
    evaluation_others,
    evaluation_set,
    evaluation_set_sha256,
)
from supervision.evaluations.selectors import is_evaluated
from supervision.evaluations.services import version_evaluate
from supervision.models import EvaluationSet

logger = logging.getLogger(__name__)

EVALUATE_TASK = "supervision.evaluations.tasks.evaluate_version"
POLL_INTERVAL_S = 1.0
LOCK_KEY = "champipy:evaluation"
LOCK_EXPIRES_S = 30
"""A worker that scores no photo for this long is considered dead."""
FAILURE_EXPIRES_S = 60
"""How long a failure is reported before the evaluation is tried again."""


@dataclass(frozen=True)
class EvaluationProgress:
    """The progress of the evaluation of some versions, in photos."""

    done: int
    total: int
    error: Text = ""
    """Why it failed; empty while it runs."""


def evaluations_request(*, versions: Sequence[ModelVersion]) -> EvaluationProgress | None:
    """Have a worker evaluate those of `versions` that lack an Evaluation on the present sets.

    These are the evaluation set of their species and, for versions that tell scope, that of others.

    Returns None if none is missing (each has its Evaluation, or there are no evaluation photos),
    otherwise the progress: call it again after a second or two.
    """
    done = total = 0
    missing = []
    others = current_evaluation_set(EvaluationSet.Kind.OTHERS)
    for version in versions:
        current_set = evaluation_set_sha256(version.labels)
        if current_set is None:
            continue
        sha256, photos = current_set
        total += photos
        if is_evaluated(version, sha256):
            done += photos
        else:
            missing.append(version)
            total += others.n if others else 0
    if not missing:
        return None
    try:
        valkey = valkey_client()
        for version in missing:
            if error := valkey.get(_failure_key(version)):
                return EvaluationProgress(done, total, message_load(str(error)))
        done += sum(int(str(valkey.get(_progress_key(version)) or 0)) for version in missing)
        # Each is sent once: a message that no worker takes has expired when the key expires.
        is_under_way = bool(valkey.exists(LOCK_KEY)) or not valkey.set(
            _request_key(missing[0]), 1, nx=True, ex=LOCK_EXPIRES_S
        )
    except redis.RedisError as error:
        logger.warning("Cannot request the evaluation of %s: %s", missing[0], error)
        is_sent = False
    else:
        is_sent = is_under_way or send_task(EVALUATE_TASK, missing[0].pk, expires_s=LOCK_EXPIRES_S)
        if not is_sent:
            _delete_quietly(_request_key(missing[0]))
    if not is_sent:
        return EvaluationProgress(
            done,
            total,
            Message(
                "%(version)s cannot be evaluated: the broker does not answer. See ./champipy "
                "status.",
                version=missing[0],
            ),
        )
    return EvaluationProgress(done, total)


def evaluation_wait(*, version: ModelVersion, timeout_s: float) -> EvaluationProgress | None:
    """Have a worker evaluate a version, and wait for it for at most `timeout_s` seconds.

    Returns None once its Evaluation is stored (or if there are no evaluation photos), otherwise
    the progress.
    """
    deadline = time.monotonic() + timeout_s
    while (progress := evaluations_request(versions=[version])) is not None:
        left = deadline - time.monotonic()
        if progress.error or left <= 0:
            break
        time.sleep(min(POLL_INTERVAL_S, left))
    return progress


def evaluation_run(*, version_id: int) -> None:
    """Evaluate a version on the present evaluation set, unless another evaluation is under way.

    Does nothing if the version does not exist. A failure is raised, and reported by
    `evaluations_request` for a minute. If Valkey becomes unreachable, the evaluation continues.
    """
    version = ModelVersion.objects.filter(pk=version_id).first()
    if version is None or _is_evaluated(version):
        return
    valkey = valkey_client()
    lock = valkey.lock(LOCK_KEY, timeout=LOCK_EXPIRES_S)
    if not lock.acquire(blocking=False):
        _delete_quietly(_request_key(version))  # to be sent again when the other one has ended
        return
    done = 0

    def count_photo() -> None:
        nonlocal done
        done += 1
        with contextlib.suppress(redis.RedisError):
            lock.reacquire()  # extends its expiry
            valkey.set(_progress_key(version), done, ex=LOCK_EXPIRES_S)

    try:
        held_out = evaluation_set(version.labels)
        if held_out is not None:
            version_evaluate(
                version=version,
                held_out=held_out,
                others=evaluation_others(),
                on_photo=count_photo,
            )
    except Exception as error:
        message = Message(
            "The evaluation of %(version)s failed: %(reason)s",
            version=version,
            reason=message_of(error),
        )
        with contextlib.suppress(redis.RedisError):
            valkey.set(_failure_key(version), message_dump(message), ex=FAILURE_EXPIRES_S)
        raise
    finally:
        with contextlib.suppress(redis.RedisError):
            if lock.owned():  # else it has expired, and another worker may be at it now
                valkey.delete(_progress_key(version), _request_key(version))
                lock.release()


def _is_evaluated(version: ModelVersion) -> bool:
    """Return whether there is nothing to evaluate: it is done, or there are no photos."""
    current_set = evaluation_set_sha256(version.labels)
    return current_set is None or is_evaluated(version, current_set[0])


def _delete_quietly(key: str) -> None:
    with contextlib.suppress(redis.RedisError):
        valkey_client().delete(key)


def _request_key(version: ModelVersion) -> str:
    return f"{LOCK_KEY}:request:{version.pk}"


def _progress_key(version: ModelVersion) -> str:
    return f"{LOCK_KEY}:progress:{version.pk}"


def _failure_key(version: ModelVersion) -> str:
    return f"{LOCK_KEY}:failure:{version.pk}"
