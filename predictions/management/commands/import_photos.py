import sys
from argparse import ArgumentParser
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from mlmodels.ml.preprocessing import MAX_BYTES, PhotoError
from mlmodels.models import Species
from predictions.models import Photo
from predictions.photo_services import Imported, photo_import


class Command(BaseCommand):
    help = (
        "Imports labelled photos from a folder with one subfolder a species (Amanita_muscaria). "
        "Safe to repeat. A file named by a number is taken for that Mushroom Observer image."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument(
            "--split", required=True, choices=[Photo.Split.TRAINING, Photo.Split.EVALUATION]
        )
        parser.add_argument(
            "--allow-resembling",
            action="store_true",
            help="import photos, too, that resemble one of the other split or show the same find",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        files = list(self._labelled_files(options["folder"]))
        outcomes: Counter[str] = Counter()
        told: dict[str, list[str]] = defaultdict(list)
        for path, label in tqdm(files, unit="photo", file=sys.stderr, disable=None):
            try:
                if path.stat().st_size > MAX_BYTES:
                    raise PhotoError("image_too_large", "It is over 10 MB.")
                outcome: str = photo_import(
                    data=path.read_bytes(),
                    label=label,
                    split=options["split"],
                    origin=path.name,
                    mushroom_observer_id=int(path.stem) if path.stem.isdecimal() else None,
                    allow_resembling=options["allow_resembling"],
                )
            except (PhotoError, OSError) as error:
                outcome = "broken"
                told[outcome].append(f"{path}: {error}")
            else:
                if outcome not in (Imported.NEW, Imported.KNOWN):
                    told[outcome].append(str(path))
            outcomes[outcome] += 1
        for outcome, lines in told.items():
            self.stderr.write(f"{outcome}, skipped:")
            for line in lines:
                self.stderr.write(f"  {line}")
        summary = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        in_split = Photo.objects.filter(split=options["split"]).count()
        self.stdout.write(f"{summary}. There are {in_split} {options['split']} photos now.")
        if Imported.RESEMBLES_OTHER_SPLIT in told:
            self.stdout.write(
                "--allow-resembling imports those that resemble the other split, too."
            )

    def _labelled_files(self, folder: Path) -> list[tuple[Path, Species]]:
        species = {each.name: each for each in Species.objects.all()}
        if not folder.is_dir():
            raise CommandError(f"{folder} is not a folder.")
        files = []
        for subfolder in sorted(path for path in folder.iterdir() if path.is_dir()):
            label = species.get(subfolder.name.replace("_", " "))
            if label is None:
                self.stderr.write(f"{subfolder} is no known species, skipped.")
                continue
            files += [(path, label) for path in sorted(subfolder.iterdir()) if path.is_file()]
        if not files:
            raise CommandError(
                f"{folder} has no photos in folders named by a species: {', '.join(species)}."
            )
        return files
