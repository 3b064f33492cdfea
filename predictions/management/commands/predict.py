from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from mlmodels.selectors import production_version
from predictions.models import Prediction
from predictions.selectors import answered_predictions
from predictions.services import prediction_create
from predictions.worker_services import prediction_fetch, prediction_infer

BAR_WIDTH = 40


class Command(BaseCommand):
    help = "Predicts the species of a photo, given as a file or a URL. Needs no workers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("photo", help="a file, or an http or https URL")
        parser.add_argument(
            "-n", "--nb-preds", type=int, default=1, help="how many species to print"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        version = production_version()
        maximum = len(version.labels) if version else 1
        if not 1 <= options["nb_preds"] <= maximum:
            raise CommandError(f"-n takes a whole number from 1 to {maximum}.")
        prediction = prediction_create(
            user=None,
            file=_url_or_upload(options["photo"]),
            nb_preds=options["nb_preds"],
            version=version,
            send=_process_here,
        )
        prediction = answered_predictions().get(pk=prediction.pk)
        if prediction.inference is None:
            raise CommandError(
                f"{options['photo']}: {prediction.error_detail} ({prediction.error_code})"
            )
        note = ", answered from the stored inference" if prediction.reused else ""
        self.stdout.write(f"{options['photo']}: {prediction.inference.model_version}{note}")
        for species, score in prediction.inference.best(options["nb_preds"]):
            bar = "█" * round(score / 100 * BAR_WIDTH)
            self.stdout.write(f"  {score:6.2f} %  {species:<24} {bar}")


def _url_or_upload(photo: str) -> str | File:
    if "://" in photo:
        return photo
    try:
        return File(Path(photo).open("rb"), name=Path(photo).name)
    except OSError as error:
        raise CommandError(f"{photo} cannot be read: {error.strerror}.") from error


def _process_here(prediction: Prediction) -> None:
    """Do the workers' work in this process, after commit."""
    if prediction.sha256:
        transaction.on_commit(
            lambda: prediction_infer(prediction_id=prediction.pk, send=_process_here)
        )
    else:
        transaction.on_commit(
            lambda: prediction_fetch(prediction_id=prediction.pk, send=_process_here)
        )
