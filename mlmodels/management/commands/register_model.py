from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mlmodels.ml.artifact import ArtifactError
from mlmodels.selectors import production_version, version_artifact
from mlmodels.services import PRETRAINED, version_promote, version_register


class Command(BaseCommand):
    help = (
        "Registers a model version's folder (as written by export_model) in Staging. "
        "The first version goes into production."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("folder", nargs="?", type=Path, help="the version's folder")
        source.add_argument(
            "--pretrained", action="store_true", help="the version that comes with ChampiPy"
        )
        parser.add_argument("--promote", action="store_true", help="also put it into production")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = PRETRAINED if options["pretrained"] else options["folder"]
        if options["pretrained"] and not (PRETRAINED / "card.json").exists():
            self.stderr.write(
                "This copy of ChampiPy has no trained model. Train one: ./champipy train_model"
            )
            return
        try:
            version, is_new = version_register(folder=folder)
            self.stdout.write(f"{version} {'was' if is_new else 'is already'} registered.")
            reason = self._reason(promote=options["promote"], pretrained=options["pretrained"])
            if reason:
                version_promote(version=version, by=None, reason=reason)
                self.stdout.write(f"{version} is in production: {reason}")
        except ArtifactError as error:
            raise CommandError(f"{folder} was not registered: {error}") from error

    def _reason(self, *, promote: bool, pretrained: bool) -> str:
        """Return why the version goes into production; "" leaves it in Staging."""
        if promote:
            return "register_model --promote"
        current = production_version()
        if current is None:
            return "the first version"
        if pretrained:
            # After an upgrade to another format, predictions would otherwise fail until an
            # administrator promoted a version.
            try:
                version_artifact(current)
            except ArtifactError as error:
                return f"{current}, which was in production, can't be read: {error}"
        return ""
