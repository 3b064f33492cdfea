import re
import sys
from argparse import ArgumentParser
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from mlmodels.ml.preprocessing import MAX_BYTES, NEAR_DUPLICATE_BITS, PhotoError
from mlmodels.models import Species
from mlmodels.species_selectors import species_called
from predictions.models import Photo
from predictions.photo_services import ImportOutcome, ImportResult, photo_import
from supervision.datasets.selectors import current_evaluation_set, species_names
from supervision.datasets.services import evaluation_set_freeze

MUSHROOM_OBSERVER_ID = re.compile("[0-9]{1,12}")
"""A longer number, such as a time in nanoseconds, is no id."""
LINE_EVERY = 100
"""Photos after which a line tells the progress where there is no terminal."""


class Command(BaseCommand):
    help = (
        "Imports labelled photos from a folder with one subfolder per species, under any "
        "of its names (Amanita_muscaria, Cerioporus_squamosus). "
        "Safe to repeat. If a file's name is a number, it is the id of a Mushroom Observer image. "
        "Exits with 1 if a folder is not named after a known species: the others are imported. "
        "The first import of evaluation photos freezes them as evaluation set 1."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument(
            "--split", required=True, choices=[Photo.Split.TRAINING, Photo.Split.EVALUATION]
        )
        parser.add_argument(
            "--allow-resembling",
            action="store_true",
            help="also import photos that resemble one of the other split or show the same find",
        )
        parser.add_argument(
            "--new-version",
            metavar="REASON",
            help="import evaluation photos although a set is frozen, and freeze a new version of "
            "it for this reason",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        split, reason = options["split"], (options["new_version"] or "").strip()
        is_evaluation = split == Photo.Split.EVALUATION
        if is_evaluation:
            self._check_not_frozen(reason)
        elif options["new_version"] is not None:
            raise CommandError(
                "--new-version is for evaluation photos only: use --split evaluation."
            )
        files, unknown = self._labelled_files(options["folder"])
        outcomes: Counter[str] = Counter()
        notes: dict[str, list[str]] = defaultdict(list)
        for path, label in self._shown(files):
            try:
                photo = _import(path, label, split, options["allow_resembling"])
            except (PhotoError, OSError) as error:
                outcome = "broken"
                notes["broken, skipped"].append(f"{path}: {error}")
            else:
                outcome = photo.outcome
                if outcome == ImportOutcome.NEW and photo.resembles:
                    notes["imported, though near the other split"].append(_resembling(path, photo))
                elif outcome not in (ImportOutcome.NEW, ImportOutcome.KNOWN):
                    notes[f"{outcome}, skipped"].append(_resembling(path, photo))
            outcomes[outcome] += 1
        for heading, lines in notes.items():
            self.stderr.write(f"{heading}:")
            for line in lines:
                self.stderr.write(f"  {line}")
        summary = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        in_split = Photo.objects.filter(split=split).count()
        self.stdout.write(f"{summary}. There are {in_split} {split} photos now.")
        if ImportOutcome.RESEMBLES_OTHER_SPLIT in outcomes:
            more = " and --new-version (the others are frozen now)" if is_evaluation else ""
            self.stdout.write(
                f"To import also those that resemble the other split: --allow-resembling{more}."
            )
        if is_evaluation:
            self._freeze(reason or f"The first import: {options['folder'].resolve().name}")
        if unknown:
            raise CommandError(
                f"Not imported: {', '.join(str(folder) for folder in unknown)}. No species has "
                "this name. Rename the folder after a species "
                f"({', '.join(species_names())}), and import again."
            )

    def _shown(self, files: list[tuple[Path, Species]]) -> Iterator[tuple[Path, Species]]:
        """Yield the files and show how many are done: a bar, or lines where there is no terminal.

        The lines go to the log of whoever started the import.
        """
        if sys.stderr.isatty():
            yield from tqdm(files, unit="photo", file=sys.stderr)
            return
        for done, file in enumerate(files):
            if done and done % LINE_EVERY == 0:
                self.stderr.write(f"{done} of {len(files)} photos")
            yield file

    def _check_not_frozen(self, reason: str) -> None:
        """Raise CommandError if a set is frozen and there is no reason for a new version."""
        frozen = current_evaluation_set()
        if frozen is not None and not reason:
            raise CommandError(
                f"Nothing was imported: {frozen} was frozen on {frozen.created_at:%Y-%m-%d}, so "
                "that accuracies on it compare. To import the photos and freeze version "
                f"{frozen.version + 1} with them, give a reason: "
                '--new-version "60 photos of 2026".'
            )

    def _freeze(self, reason: str) -> None:
        before = current_evaluation_set()
        frozen = evaluation_set_freeze(by=None, reason=reason)
        if frozen is None:
            self.stdout.write("There are no evaluation photos to freeze.")
        elif frozen == before:
            self.stdout.write(f"Nothing changed: {frozen} stays.")
        else:
            self.stdout.write(f"Frozen as {frozen}, {frozen.sha256[:12]}.")

    def _labelled_files(self, folder: Path) -> tuple[list[tuple[Path, Species]], list[Path]]:
        """Return the files with their species, and the folders that have no species' name."""
        if not folder.is_dir():
            raise CommandError(f"{folder} is not a folder.")
        files: list[tuple[Path, Species]] = []
        unknown = []
        for subfolder in sorted(path for path in folder.iterdir() if path.is_dir()):
            label = species_called(subfolder.name)
            if label is None:
                self.stderr.write(f"{subfolder} is not a known species, skipped.")
                unknown.append(subfolder)
                continue
            files += [(path, label) for path in sorted(subfolder.iterdir()) if path.is_file()]
        if not files:
            raise CommandError(
                f"{folder} has no photos in folders named after a species: "
                f"{', '.join(species_names())}."
            )
        return files, unknown


def _import(path: Path, label: Species, split: str, allow_resembling: bool) -> ImportResult:
    if path.stat().st_size > MAX_BYTES:
        raise PhotoError("image_too_large", "It is over 10 MB.")
    return photo_import(
        data=path.read_bytes(),
        label=label,
        split=split,
        origin=path.name,
        mushroom_observer_id=int(path.stem) if MUSHROOM_OBSERVER_ID.fullmatch(path.stem) else None,
        allow_resembling=allow_resembling,
    )


def _resembling(path: Path, photo: ImportResult) -> str:
    """Return a line that says which photos of the other split this one resembles, and how."""
    if not photo.resembles:
        return str(path)
    return f"{path}: " + "; ".join(_likeness(other) for other in photo.resembles)


def _likeness(other: Photo) -> str:
    name = f"{other.origin or other} ({other.label}, {other.split})"
    distance: int = other.distance  # type: ignore[attr-defined]  # set by photos_resembling
    if distance <= NEAR_DUPLICATE_BITS:
        return f"looks like {name}, {distance} of 64 bits differ"
    return f"shows the same find as {name}"
