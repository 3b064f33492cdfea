"""Wakes a request that waits for a prediction's answer, and tells it the answer.

It is told so that the request need not read it from the database. If it is not, it reads the row.
"""

import json
import logging
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

import redis
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from common.valkey import valkey_client
from mlmodels.models import ModelVersion
from predictions.models import Inference, Prediction

M = TypeVar("M", bound=Model)

logger = logging.getLogger(__name__)

MAX_WAKEUP_WAIT_S = 1.0
"""How long a waiting request relies on being woken before it reads the row itself."""

_OF_VERSION = ("id", "name", "version", "labels")
_OF_INFERENCE = (
    *("id", "photo_id", "model_version_id", "scores", "best_score", "best_species"),
    *("in_scope", "scope_score", "p_values", "name_scores"),
)
_OF_PREDICTION = ("status", "sha256", "verdict", "reused")


def _key(prediction_id: int) -> str:
    return f"champipy:answer:{prediction_id}"


def announce_answers(predictions: Mapping[int, Prediction | None]) -> None:
    """Wake the requests that wait for predictions, by their ids, or start to within a minute.

    They are told the answer of the prediction; None: they have to read it.
    """
    try:
        with valkey_client(MAX_WAKEUP_WAIT_S + 2).pipeline(transaction=False) as pipeline:
            for prediction_id, prediction in predictions.items():
                pipeline.rpush(_key(prediction_id), _answer(prediction) if prediction else "")
                pipeline.expire(_key(prediction_id), 60)
            pipeline.execute()
    except redis.RedisError as error:
        logger.warning("The answers of %s were not announced: %s", [*predictions], error)


def wait_for_answer(prediction: Prediction, timeout_s: float) -> bool:
    """Return once the answer is announced, or after at most `timeout_s` seconds.

    True: `prediction` has the answer now. False: it has to be read. If Valkey is unavailable, sleep
    briefly instead, so that the caller can poll.
    """
    try:
        announced = valkey_client(MAX_WAKEUP_WAIT_S + 2).blpop(
            [_key(prediction.pk)], timeout=max(timeout_s, 0.01)
        )
    except redis.RedisError:
        time.sleep(min(timeout_s, 0.25))
        return False
    if not announced or not announced[1]:
        return False
    _take_answer(prediction, json.loads(announced[1]))
    return True


def _answer(prediction: Prediction) -> str:
    """Return the answer of a prediction that is done, else an empty text."""
    inference, finished_at = prediction.inference, prediction.finished_at
    if inference is None or finished_at is None:
        return ""
    return json.dumps(
        {
            "prediction": {name: getattr(prediction, name) for name in _OF_PREDICTION},
            "finished_at": finished_at.isoformat(),
            "inference": {name: getattr(inference, name) for name in _OF_INFERENCE},
            "version": {name: getattr(inference.model_version, name) for name in _OF_VERSION},
        }
    )


def _take_answer(prediction: Prediction, answer: dict[str, Any]) -> None:
    """Set what the row of a prediction holds. Fields that are not told are read when needed."""
    for name, value in answer["prediction"].items():
        setattr(prediction, name, value)
    prediction.finished_at = datetime.fromisoformat(answer["finished_at"])
    prediction.next_send_at = None
    prediction.inference = _loaded(Inference, answer["inference"])
    prediction.inference.model_version = _loaded(ModelVersion, answer["version"])


def _loaded(model: type[M], values: dict[str, Any]) -> M:
    """Return a stored object whose other fields are read when they are needed."""
    names = [field.attname for field in model._meta.concrete_fields if field.attname in values]
    return model.from_db(DEFAULT_DB_ALIAS, names, [values[name] for name in names])
