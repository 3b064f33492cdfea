"""Celery's side of predictions: each task takes an id and calls one service.

No task is retried by Celery, and the broker forgets it once it began: a prediction that stays
unanswered is sent anew from its row (`resend_stalled_predictions`).
"""

import logging

from celery import shared_task

from predictions.services import (
    incoming_sweep,
    prediction_fetch,
    prediction_infer,
    predictions_resend,
    production_engine_load,
)

logger = logging.getLogger(__name__)


@shared_task
def fetch_prediction(prediction_id: int) -> None:
    """Worker fetch: bring the photo of a URL."""
    prediction_fetch(prediction_id=prediction_id)


@shared_task(time_limit=15)
def infer_prediction(prediction_id: int) -> None:
    """Worker inference: decode and score. Cut off, with its process, after fifteen seconds."""
    prediction_infer(prediction_id=prediction_id)


@shared_task(time_limit=15)
def load_production_engine() -> None:
    """Worker inference, after a switch: nobody's photo is to wait for the new engine."""
    production_engine_load()


@shared_task
def resend_stalled_predictions() -> None:
    """Beat, every few seconds: mend what was lost on the way."""
    count = predictions_resend()
    if count:
        logger.warning("Sent %s stalled predictions anew", count)


@shared_task
def sweep_incoming_photos() -> None:
    """Beat, hourly: delete what processes that died left behind."""
    incoming_sweep()
