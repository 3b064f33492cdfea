import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from mlmodels.ml.artifact import ArtifactError
from mlmodels.models import ModelVersion
from mlmodels.selectors import production_version
from supervision.datasets.selectors import evaluation_others, evaluation_set
from supervision.evaluations.answer_report import answer_lines, speed_text
from supervision.evaluations.report import evaluation_report
from supervision.evaluations.services import version_evaluate


class Command(BaseCommand):
    help = "Measures a model version on the evaluation photos, and stores the result."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("version", type=int, nargs="?", help="default: the one in production")
        parser.add_argument("--name", default="VGG16")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["version"] is None:
            version = production_version()
        else:
            version = ModelVersion.objects.filter(
                name=options["name"], version=options["version"]
            ).first()
        if version is None:
            raise CommandError(
                "There is no such version. The admin lists all versions (Model versions)."
            )
        held_out = evaluation_set(version.labels)
        if held_out is None:
            raise CommandError(
                "There are no evaluation photos. Import some: "
                "./champipy import_photos DIR --split evaluation"
            )
        others = evaluation_others()
        photos = len(held_out.photos) + (len(others.new) if others else 0)
        bar = tqdm(total=photos, unit="photo", file=sys.stderr, disable=None)
        try:
            with bar:
                evaluation = version_evaluate(
                    version=version, held_out=held_out, others=others, on_photo=bar.update
                )
        except ArtifactError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{version} on evaluation set {held_out.sha256[:12]}")
        self.stdout.write(evaluation_report(evaluation.metrics, version.labels))
        self.stdout.write(f"\n{speed_text(version.metrics, evaluation.ms_per_photo)}")
        if lines := answer_lines(version.metrics.get("out_of_fold")):
            self.stdout.write("\nby its card, out of fold on the training photos:")
            self.stdout.write("\n".join(lines))
