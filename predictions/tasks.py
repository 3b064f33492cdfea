"""Celery tasks of predictions. Each calls one service.

Celery does not retry tasks, and acknowledges them before they run. If a prediction stays
unanswered, it is sent again from its row (`resend_stalled_predictions`).
"""

import logging

from celery import shared_task

from predictions.embedding_services import listed_photos_embed, listed_photos_send, photo_embed
from predictions.explanation_services import explanation_make
from predictions.fetch_services import prediction_fetch
from predictions.pictures import picture_make, pictures_prune
from predictions.recovery_services import incoming_sweep, predictions_resend
from predictions.scoring_services import prediction_infer, production_engine_load, waiting_score
from predictions.shadow_services import shadows_score

logger = logging.getLogger(__name__)


@shared_task
def fetch_prediction(prediction_id: int) -> None:
    """Fetch the photo of a URL. Runs in worker fetch."""
    prediction_fetch(prediction_id=prediction_id)


@shared_task(time_limit=15)
def score_predictions() -> None:
    """Score what waits. Runs in worker inference, whose process is killed after 15 s."""
    waiting_score()


@shared_task(time_limit=15)
def infer_prediction(prediction_id: int) -> None:
    """Decode and score the photo of a prediction that was sent before. Runs in worker inference."""
    prediction_infer(prediction_id=prediction_id)


@shared_task(time_limit=15)
def load_production_engine() -> None:
    """Load the engine of a new version in production, so that no photo has to wait for it.

    Runs in worker inference.
    """
    production_engine_load()


@shared_task
def resend_stalled_predictions() -> None:
    """Send unanswered predictions again. Beat sends this every few seconds."""
    count = predictions_resend()
    if count:
        logger.warning("%s unanswered predictions were sent again", count)


@shared_task(time_limit=15)
def make_picture(sha256: str, kind: str) -> None:
    """Make a small copy of a photo for the admin. Runs in worker inference."""
    picture_make(sha256=sha256, kind=kind)


@shared_task(time_limit=15)
def make_explanation(inference_id: int, species: str, against: str | None) -> None:
    """Say where on a photo the evidence for a species is. Runs in worker inference."""
    explanation_make(inference_id=inference_id, species=species, against=against)


@shared_task(time_limit=15)
def embed_photo(photo_id: int) -> None:
    """Compute a photo's embedding, by which similar ones are found. Runs in worker inference."""
    photo_embed(photo_id=photo_id)


@shared_task(time_limit=15)
def embed_listed_photos() -> None:
    """Embed listed photos while nobody waits. Runs in worker inference; beat sends it, too."""
    if listed_photos_embed():
        listed_photos_send()


@shared_task(time_limit=15)
def score_shadows() -> None:
    """Have versions in Staging score a few photos that people asked for lately, while nobody waits.

    Runs in worker inference; beat sends this every few seconds.
    """
    shadows_score()


@shared_task
def prune_pictures() -> None:
    """Delete the least recently shown pictures beyond the cache's bound. Beat sends this hourly."""
    pictures_prune()


@shared_task
def sweep_incoming_photos() -> None:
    """Delete incoming files that dead processes left behind. Beat sends this hourly."""
    incoming_sweep()
