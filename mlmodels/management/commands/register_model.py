from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mlmodels.ml.artifact import ArtifactError
from mlmodels.selectors import production_version
from mlmodels.services import PRETRAINED, version_promote, version_register


class Command(BaseCommand):
    help = (
        "Registers a model version's folder (as export_model writes it) in Staging. "
        "The first one ever goes into production."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("folder", nargs="?", type=Path, help="the version's folder")
        source.add_argument(
            "--pretrained", action="store_true", help="the version that comes with ChampiPy"
        )
        parser.add_argument("--promote", action="store_true", help="put it into production, too")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = PRETRAINED if options["pretrained"] else options["folder"]
        if options["pretrained"] and not (PRETRAINED / "card.json").exists():
            self.stderr.write("No model comes with this copy. Train one: ./champipy train_model")
            return
        try:
            version, is_new = version_register(folder=folder)
            self.stdout.write(f"{version} is {'registered' if is_new else 'registered already'}.")
            if options["promote"] or production_version() is None:
                version_promote(version=version, by=None, reason="register_model")
                self.stdout.write(f"{version} is in production.")
        except ArtifactError as error:
            raise CommandError(f"{folder} was not registered: {error}") from error
