import shlex
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from mlmodels.ml.layers import TRAINABLE_LAYERS
from mlmodels.ml.training_types import Progress
from mlmodels.models import ModelVersion, TrainingRun
from mlmodels.run_services import RunEnded, run_cancel
from mlmodels.selectors import version_artifact
from supervision.datasets.composition import (
    Source,
    composition_text,
    sources_text,
    training_composition,
)
from supervision.datasets.selectors import TooFewPhotos
from supervision.evaluations.report import evaluation_report
from supervision.review.admin.filters import next_training_path
from supervision.trainings.services import (
    MAX_EPOCHS,
    MAX_SEED,
    AnotherRunRunning,
    run_begin,
    run_work,
)

BOUNDS = {
    "variables": (1, TRAINABLE_LAYERS),
    "epochs": (1, MAX_EPOCHS),
    "views": (1, 50),
    "seed": (0, MAX_SEED),
    "minutes": (1, settings.CHAMPIPY_TRAINING_MINUTES),
}


class Command(BaseCommand):
    help = (
        "Trains a new model version from ImageNet's weights on the most recent training photos, in "
        "this process. The training is a run like any other; its version stays in Staging until it "
        "is promoted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        texts = {
            "variables": "layers with weights to train, counted from the output",
            "epochs": "passes over the photos",
            "views": "augmented views of each photo",
            "seed": "the same seed gives the same result",
            "minutes": "the time budget",
        }
        for name, (minimum, maximum) in BOUNDS.items():
            parser.add_argument(
                f"--{name}", type=int, help=f"{texts[name]}: {minimum} to {maximum}", metavar="N"
            )

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = {name: options[name] for name in BOUNDS if options[name] is not None}
        for name, number in chosen.items():
            minimum, maximum = BOUNDS[name]
            if not minimum <= number <= maximum:
                raise CommandError(f"--{name} takes a whole number from {minimum} to {maximum}.")
        try:
            composition = training_composition()
            run = run_begin(parameters=chosen)
        except (TooFewPhotos, AnotherRunRunning) as error:
            raise CommandError(str(error)) from error
        try:
            self._print_composition(composition)
            self._work(run)
        except KeyboardInterrupt as interrupt:
            try:
                run_cancel(run=run)
            except RunEnded as error:
                raise CommandError(str(error)) from interrupt
            raise CommandError(f"Run {run.pk} was cancelled.", returncode=130) from interrupt
        run.refresh_from_db()
        if run.status != TrainingRun.Status.SUCCEEDED:
            raise CommandError(
                f"Run {run.pk} did not succeed (status: {run.status}). {run.error}".rstrip()
            )
        self._print_result(run.model_version)

    def _print_composition(self, composition: Mapping[str, Any]) -> None:
        self.stdout.write(f"{composition_text(composition)}.")
        for row in composition["species"]:
            line = f"  {row['species']:<24} {row['photos']:>4}: {sources_text(row)}"
            self.stdout.write(line)
        if composition[Source.PREDICTED]:
            self.stdout.write(
                "Those that the model alone named can be reviewed in the admin, at "
                f"{next_training_path()}."
            )
        self.stdout.flush()

    def _work(self, run: TrainingRun) -> None:
        bar = tqdm(total=100, file=sys.stderr, disable=None, bar_format="{desc} {bar} {n:.0f} %")

        def report(progress: Progress) -> None:
            bar.n = 100 * progress.fraction
            epoch = f" {progress.epoch}/{progress.epochs}" if progress.epoch else ""
            bar.set_description(f"run {run.pk}: {progress.stage}{epoch}")
            if (record := progress.record) is not None:
                loss = "" if record.loss is None else f"loss {record.loss:.3f}, "
                bar.write(
                    f"epoch {record.epoch}: {loss}validation accuracy {record.accuracy:.1%}",
                    file=sys.stderr,
                )

        with bar:
            run_work(run=run, report=report)

    def _print_result(self, version: ModelVersion) -> None:
        folder = shlex.quote(str(version_artifact(version).folder))
        self.stdout.write(f"{version} is in Staging. To promote it:")
        self.stdout.write(f"  ./champipy register_model {folder} --promote")
        if "evaluation" in version.metrics:
            self.stdout.write(evaluation_report(version.metrics["evaluation"], version.labels))
        else:
            self.stdout.write("It was not evaluated: there are no evaluation photos.")
