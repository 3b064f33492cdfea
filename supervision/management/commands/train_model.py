import os
import shlex
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from supervision.datasets import (
    RECENT_PHOTOS,
    TooFewPhotos,
    dataset_manifest,
    evaluation_set,
    training_dataset,
)
from supervision.services import evaluation_report


class Command(BaseCommand):
    help = (
        "Trains a new model version from ImageNet's weights on the most recent training photos. "
        "It waits in Staging until it is promoted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--variables", type=int, help="layers with weights to train, from the output: 1 to 14"
        )
        parser.add_argument("--epochs", type=int, help="1 to 500")
        parser.add_argument("--views", type=int, help="augmented views of each photo")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--photos", type=int, default=RECENT_PHOTOS)
        parser.add_argument(
            "--minutes", type=float, default=settings.CHAMPIPY_TRAINING_MINUTES, help="the budget"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        # Imported here: this loads TensorFlow.
        from mlmodels.ml.backbone import BackboneUnavailable
        from mlmodels.ml.training_types import Progress, TrainingParameters
        from mlmodels.training_services import training_run

        given = ("variables", "epochs", "views", "seed", "minutes")
        chosen = {name: options[name] for name in given if options[name] is not None}
        for name, most in (("variables", 14), ("epochs", 500), ("views", 50)):
            if not 1 <= chosen.get(name, 1) <= most:
                raise CommandError(f"--{name} takes a whole number from 1 to {most}.")
        bar = tqdm(total=100, file=sys.stderr, disable=None, bar_format="{desc} {bar} {n:.0f} %")

        def report(progress: Progress) -> None:
            bar.n = 100 * progress.fraction
            epoch = f" {progress.epoch}/{progress.epochs}" if progress.epoch else ""
            bar.set_description(f"{progress.stage}{epoch}")
            if progress.record is not None:
                bar.write(
                    f"epoch {progress.record.epoch}: loss {progress.record.loss or 0:.3f}, "
                    f"validation accuracy {progress.record.accuracy:.1%}",
                    file=sys.stderr,
                )

        try:
            dataset = training_dataset(limit=options["photos"], seed=options["seed"])
            with bar:
                version = training_run(
                    dataset=dataset,
                    manifest=dataset_manifest(dataset),
                    held_out=evaluation_set(dataset.labels),
                    parameters=TrainingParameters(**chosen),
                    report=report,
                )
        except (TooFewPhotos, BackboneUnavailable) as error:
            raise CommandError(str(error)) from error
        folder = shlex.quote(str(version.folder))
        self.stdout.write(f"{version} is in Staging. To put it into service:")
        self.stdout.write(f"  ./champipy register_model {folder} --promote")
        if "evaluation" in version.metrics:
            self.stdout.write(evaluation_report(version.metrics["evaluation"], version.labels))
        else:
            self.stdout.write("It was not evaluated: there are no evaluation photos.")
