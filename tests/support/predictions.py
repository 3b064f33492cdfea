"""Runs the steps of a prediction in this process, without workers."""

from django.core.files.base import ContentFile

from mlmodels.selectors import production_version
from predictions.models import Prediction
from predictions.scoring_services import prediction_infer
from predictions.services import prediction_create


def unsent(prediction: Prediction) -> None:
    """Send nothing, like a broker that loses every message."""


def ask(file: str | ContentFile, nb_preds: int = 1) -> Prediction:
    return prediction_create(
        user=None, file=file, nb_preds=nb_preds, version=production_version(), send=unsent
    )


def upload(data: bytes, nb_preds: int = 1, name: str = "photo.jpg") -> Prediction:
    file = ContentFile(data, name=name)
    return ask(file, nb_preds)


def answered(prediction: Prediction) -> Prediction:
    prediction_infer(prediction_id=prediction.pk)
    prediction.refresh_from_db()
    return prediction
