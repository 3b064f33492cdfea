from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mlmodels.ml.artifact import ArtifactError
from mlmodels.models import ModelVersion
from mlmodels.services import version_export


class Command(BaseCommand):
    help = "Writes a model version into a folder that register_model can read on another machine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("version", type=int, help="the version's number: 1, 2, …")
        parser.add_argument("folder", type=Path, help="a new or empty folder")
        parser.add_argument("--name", default="VGG16")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            version = ModelVersion.objects.get(name=options["name"], version=options["version"])
            version_export(version=version, folder=options["folder"])
        except ModelVersion.DoesNotExist as error:
            known = ", ".join(str(version) for version in ModelVersion.objects.all()) or "none"
            raise CommandError(
                f"There is no {options['name']} {options['version']}. Known versions: {known}."
            ) from error
        except (ArtifactError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{version} was written to {options['folder']}.")
