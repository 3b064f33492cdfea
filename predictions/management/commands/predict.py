import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from typing import Any

from django.core.files.base import ContentFile
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, transaction

from mlmodels.models import ModelVersion
from mlmodels.names import InvalidName, parse_name
from mlmodels.selectors import production_version
from predictions.api.serializers import PredictionSerializer
from predictions.dispatch import fetch_delay_s
from predictions.errors import SERVICE_CODES, NotAccepted
from predictions.fetch_services import prediction_fetch
from predictions.models import Prediction
from predictions.scoring_services import prediction_infer
from predictions.selectors import answered_predictions
from predictions.services import prediction_create
from predictions.terminal.arguments import (
    DESCRIPTION,
    EPILOG,
    UNAVAILABLE,
    WRONG_USAGE,
    add_arguments,
)
from predictions.terminal.output import Failure, Report
from predictions.terminal.photos import NoPhotos, Photo, list_photos


class Command(BaseCommand):
    """Predicts in this process, without workers; `predictions.terminal` asks a running stack."""

    help = DESCRIPTION

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        parser = super().create_parser(prog_name, subcommand, epilog=EPILOG, **kwargs)
        parser.formatter_class = RawDescriptionHelpFormatter
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._predict(options)
        except (InterfaceError, OperationalError) as error:
            raise CommandError(
                f"The database does not answer: {str(error).strip()} Check DATABASE_URL, or see "
                "./champipy status.",
                returncode=UNAVAILABLE,
            ) from error

    def _predict(self, options: dict[str, Any]) -> None:
        version = production_version()
        maximum = len(version.labels) if version else 1
        if not 1 <= options["nb_preds"] <= maximum:
            raise CommandError(
                f"-n takes a whole number from 1 to {maximum}.", returncode=WRONG_USAGE
            )
        proposed = options["proposed"]
        try:
            if proposed is not None:
                parse_name(proposed)
            photos = list_photos(options["photos"], sys.stdin.buffer)
        except (InvalidName, NoPhotos) as error:
            raise CommandError(str(error), returncode=WRONG_USAGE) from error
        answers = _answers(photos, options["nb_preds"], proposed, version)
        code = Report(options["json"], proposed, len(photos)).run(answers)
        if code:
            sys.exit(code)


def _answers(
    photos: list[Photo], nb_preds: int, proposed: str | None, version: ModelVersion | None
) -> Iterator[tuple[Photo, dict[str, Any] | Failure]]:
    for photo in photos:
        try:
            file = photo.given if photo.is_url else ContentFile(photo.read(), name=photo.name)
            prediction = prediction_create(
                user=None, file=file, nb_preds=nb_preds, version=version, proposed=proposed,
                send=_process_here,
            )  # fmt: skip
        except OSError as error:
            yield photo, Failure("unreadable", f"It cannot be read: {error.strerror}.")
            continue
        except NotAccepted as refused:
            yield photo, Failure(refused.code, str(refused.detail), is_of_service=True)
            continue
        prediction = answered_predictions().get(pk=prediction.pk)
        if prediction.inference is None:
            code = prediction.error_code
            yield photo, Failure(code, str(prediction.error_detail), code in SERVICE_CODES)
        else:
            yield photo, dict(PredictionSerializer(prediction).data)


def _process_here(prediction: Prediction) -> None:
    """Do the workers' work in this process, after commit."""
    if prediction.sha256:
        transaction.on_commit(
            lambda: prediction_infer(prediction_id=prediction.pk, send=_process_here)
        )
    else:
        transaction.on_commit(lambda: _fetch_here(prediction))


def _fetch_here(prediction: Prediction) -> None:
    time.sleep(fetch_delay_s(prediction))  # until its turn comes to ask the photo's host
    prediction_fetch(prediction_id=prediction.pk, send=_process_here)
