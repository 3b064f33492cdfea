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
from predictions.embedding_services import listed_photos_send
from predictions.import_services import ImportOutcome, ImportResult, photo_import
from predictions.labels import Label, label_of
from predictions.licences import Attribution
from predictions.models import Photo
from supervision.datasets.attributions import Attributions, TableError, read_attributions
from supervision.datasets.import_folders import LabelledFiles, other_files, species_files
from supervision.datasets.selectors import current_evaluation_set, species_names
from supervision.datasets.services import evaluation_set_freeze
from supervision.models import EvaluationSet

MUSHROOM_OBSERVER_ID = re.compile("[0-9]{1,12}")
"""A longer number, such as a time in nanoseconds, is no id."""
MAX_LICENCES = 5
"""Licences that are listed, those of most rows first."""
LINE_EVERY = 100
"""Photos after which a line tells the progress where there is no terminal."""


class Command(BaseCommand):
    help = (
        "Imports labelled photos from a folder with one subfolder per species, under any "
        "of its names (Amanita_muscaria, Cerioporus_squamosus). "
        "With --other: photos of none of the species that models know, in one subfolder per name "
        "or, without a name, in the folder itself. "
        "Safe to repeat. If a file's name is a number, it is the id of a Mushroom Observer image. "
        "Exits with 1 if a folder's name is refused: the others are imported. "
        "The first complete import of evaluation photos freezes them as evaluation set 1 (photos "
        "of other species as a set of their own)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument(
            "--split", required=True, choices=[Photo.Split.TRAINING, Photo.Split.EVALUATION]
        )
        parser.add_argument(
            "--other",
            action="store_true",
            help="the photos show none of the species that models know",
        )
        parser.add_argument(
            "--allow-resembling",
            action="store_true",
            help="also import photos that resemble one of the other split or of another label, or "
            "show the same find",
        )
        parser.add_argument(
            "--attribution",
            type=Path,
            metavar="TABLE.csv",
            help="whose the photos are: columns path (from DIR or the folder above it), author, "
            "licence and, if known, source (a URL). Photos with a Creative Commons licence may be "
            "shown to all users as similar ones; nothing is assumed of the others. Give it again "
            "with another import to change what the photos have",
        )
        parser.add_argument(
            "--new-version",
            metavar="REASON",
            help="import evaluation photos although a set is frozen, and freeze a new version of "
            "it for this reason",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        split, reason = options["split"], (options["new_version"] or "").strip()
        is_evaluation, is_other = split == Photo.Split.EVALUATION, options["other"]
        kind = EvaluationSet.Kind.OTHERS if is_other else EvaluationSet.Kind.SPECIES
        if is_evaluation:
            self._check_not_frozen(kind, reason)
        elif options["new_version"] is not None:
            raise CommandError(
                "--new-version is for evaluation photos only: use --split evaluation."
            )
        attributions = self._attributions(options["attribution"])
        labelled = self._labelled_files(options["folder"], is_other)
        outcomes: Counter[str] = Counter()
        with_licence = 0
        notes: dict[str, list[str]] = defaultdict(list)
        for path, label in self._shown(labelled.files):
            attribution = attributions.of(path, options["folder"]) if attributions else None
            try:
                photo = _import(path, label, split, options["allow_resembling"], attribution)
            except (PhotoError, OSError) as error:
                outcome = "broken"
                notes["broken, skipped"].append(f"{path}: {error}")
            else:
                outcome = photo.outcome
                if outcome == ImportOutcome.NEW and photo.resembles:
                    is_across = photo.resembles[0].split != split
                    what = "the other split" if is_across else "a photo with another label"
                    notes[f"imported, though near {what}"].append(_resembling(path, photo))
                elif outcome == ImportOutcome.OTHER_SPLIT_HAS_GENUS:
                    notes[f"{outcome}, skipped"].append(f"{path}: {label}")
                elif outcome not in (ImportOutcome.NEW, ImportOutcome.KNOWN):
                    notes[f"{outcome}, skipped"].append(_resembling(path, photo))
            outcomes[outcome] += 1
            with_licence += bool(
                attribution
                and attribution.licence
                and outcome in (ImportOutcome.NEW, ImportOutcome.KNOWN)
            )
        for heading, lines in notes.items():
            self.stderr.write(f"{heading}:")
            for line in lines:
                self.stderr.write(f"  {line}")
        summary = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        in_split = Photo.objects.filter(split=split, is_other=is_other).count()
        of_others = " of other species" if is_other else ""
        self.stdout.write(f"{summary}. There are {in_split} {split} photos{of_others} now.")
        self._advise(outcomes, is_evaluation)
        paths = [path for path, _ in labelled.files]
        self._tell_licences(attributions, options["folder"], paths, with_licence)
        if labelled.refused:
            folders = ", ".join(str(folder) for folder in labelled.refused)
            later = " The photos are frozen as an evaluation set then." if is_evaluation else ""
            raise CommandError(
                f"Not imported: {folders}. {self._names_wanted(is_other)}, and import again.{later}"
            )
        if is_evaluation:
            self._freeze(kind, reason or f"The first import: {options['folder'].resolve().name}")

    def _attributions(self, table: Path | None) -> Attributions | None:
        if table is None:
            return None
        try:
            return read_attributions(table)
        except TableError as error:
            raise CommandError(f"Nothing was imported: {error}") from error

    def _tell_licences(
        self, attributions: Attributions | None, folder: Path, paths: list[Path], count: int
    ) -> None:
        """Say how many of the photos all users may see, and why not more; have those embedded."""
        if attributions is None:
            return
        without_row = sum(attributions.of(path, folder) is None for path in paths)
        unused = attributions.rows_without_file(paths, folder)
        self.stdout.write(
            f"{count} of these photos may be shown to all users as similar ones; {without_row} "
            "have no row in the table."
        )
        if unknown := attributions.unknown_licences.most_common(MAX_LICENCES):
            licences = ", ".join(f"{text or 'no licence'} ({rows})" for text, rows in unknown)
            self.stdout.write(f"Rows whose licence does not allow it, or is not known: {licences}.")
        if unused:
            self.stdout.write(
                f"Rows that name no photo of the folder: {len(unused)}, the first one {unused[0]}."
            )
        listed_photos_send()

    def _advise(self, outcomes: Counter[str], is_evaluation: bool) -> None:
        """Say what can be done about the photos that were refused."""
        resembling = {ImportOutcome.RESEMBLES_OTHER_SPLIT, ImportOutcome.RESEMBLES_OTHER_LABEL}
        if resembling & outcomes.keys():
            what = "the other split"
            if ImportOutcome.RESEMBLES_OTHER_LABEL in outcomes:
                what += " or a photo with another label"
            more = " and --new-version (the others are frozen now)" if is_evaluation else ""
            self.stdout.write(
                f"To import also those that resemble {what}: --allow-resembling{more}."
            )
        if ImportOutcome.OTHER_LABEL in outcomes:
            self.stdout.write("Labels that somebody gave are changed in review: /admin/, Photos.")

    def _names_wanted(self, is_other: bool) -> str:
        if is_other:
            return (
                "Rename the folder after what it shows, as Boletus_edulis; photos of a species "
                "that models know are imported without --other"
            )
        return (
            "No species has this name. Rename the folder after a species "
            f"({', '.join(species_names())}), or import it with --other"
        )

    def _shown(self, files: list[tuple[Path, Label]]) -> Iterator[tuple[Path, Label]]:
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

    def _check_not_frozen(self, kind: str, reason: str) -> None:
        """Raise CommandError if a set is frozen and there is no reason for a new version."""
        frozen = current_evaluation_set(kind)
        if frozen is not None and not reason:
            raise CommandError(
                f"Nothing was imported: {frozen} was frozen on {frozen.created_at:%Y-%m-%d}, so "
                "that accuracies on it compare. To import the photos and freeze version "
                f"{frozen.version + 1} with them, give a reason: "
                '--new-version "60 photos of 2026".'
            )

    def _freeze(self, kind: str, reason: str) -> None:
        before = current_evaluation_set(kind)
        frozen = evaluation_set_freeze(by=None, reason=reason, kind=kind)
        if frozen is None:
            self.stdout.write("There are no evaluation photos to freeze.")
        elif frozen == before:
            self.stdout.write(f"Nothing changed: {frozen} stays.")
        else:
            self.stdout.write(f"Frozen as {frozen}, {frozen.sha256[:12]}.")

    def _labelled_files(self, folder: Path, is_other: bool) -> LabelledFiles:
        """Return the files with their labels; say which subfolders are refused, and why."""
        if not folder.is_dir():
            raise CommandError(f"{folder} is not a folder.")
        labelled = other_files(folder) if is_other else species_files(folder)
        for subfolder, why in labelled.refused.items():
            self.stderr.write(f"Skipped {subfolder}: {why}")
        if not labelled.files:
            wanted = (
                "in folders named after what they show, nor in the folder itself"
                if is_other
                else f"in folders named after a species: {', '.join(species_names())}"
            )
            raise CommandError(f"{folder} has no photos {wanted}.")
        return labelled


def _import(
    path: Path, label: Label, split: str, allow_resembling: bool, attribution: Attribution | None
) -> ImportResult:
    if path.stat().st_size > MAX_BYTES:
        raise PhotoError("image_too_large", "It is over 10 MB.")
    return photo_import(
        data=path.read_bytes(),
        label=label,
        split=split,
        origin=path.name,
        mushroom_observer_id=int(path.stem) if MUSHROOM_OBSERVER_ID.fullmatch(path.stem) else None,
        allow_resembling=allow_resembling,
        attribution=attribution,
    )


def _resembling(path: Path, photo: ImportResult) -> str:
    """Return a line that says which photos speak against this one, and how they resemble it."""
    if not photo.resembles:
        return str(path)
    return f"{path}: " + "; ".join(_likeness(other) for other in photo.resembles)


def _likeness(other: Photo) -> str:
    name = f"{other.origin or other} ({label_of(other)}, {other.split})"
    distance: int = other.distance  # type: ignore[attr-defined]  # set by photos_resembling
    if distance <= NEAR_DUPLICATE_BITS:
        return f"looks like {name}, {distance} of 64 bits differ"
    return f"shows the same find as {name}"
