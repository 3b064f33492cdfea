import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from tqdm import tqdm

from common.sessions import session_lock
from observations.dumps.downloads import SiteUnavailable, photos_download, photos_missing
from observations.dumps.files import DumpError, OnBytes
from observations.dumps.images import images_import
from observations.dumps.names import names_import
from observations.dumps.photos import photos_label
from observations.dumps.staging import Dumps, dumps_stage, interruptible
from predictions.embedding_services import listed_photos_send
from predictions.import_services import ImportOutcome

DEFAULT_OTHERS = 10_000
MAX_NUMBER = 1_000_000
LINE_EVERY = 50
"""Photos after which a line tells the progress where there is no terminal."""
UNAVAILABLE, INTERRUPTED = 3, 130
_LOCK = 0x64756D7073  # "dumps" in ASCII; any number that no other advisory lock has


class Command(BaseCommand):
    help = (
        "Imports Mushroom Observer's nightly dumps from a folder: names.csv, "
        "name_descriptions.csv, observations.csv, images_observations.csv and images.csv. "
        "Species get their synonyms, misspellings and look-alikes; what a person entered stays. "
        "Photos of the site get author and licence and, where their name is settled "
        "(CHAMPIPY_SETTLED_CONFIDENCE), a label; reviews and evaluation photos stay as they are. "
        "Safe to repeat and to interrupt: the dumps are imported completely or not at all. "
        "Nothing is fetched unless --photos is given. "
        "Exits with 1 if a dump can't be used, with 3 if the site or another import stands in the "
        "way, with 130 if interrupted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument(
            "--photos",
            type=_number,
            default=0,
            metavar="N",
            help="fetch photos, one a second, until N training photos of each species come from "
            "this command: with a settled name, a known licence and their owner's consent",
        )
        parser.add_argument(
            "--others",
            type=_number,
            default=DEFAULT_OTHERS,
            metavar="N",
            help="how many images of other species with settled names to keep in mind, as many "
            "different ones as possible; %(default)s by default",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with session_lock(_LOCK) as is_alone:
                if not is_alone:
                    raise CommandError(
                        "Another import of Mushroom Observer's dumps is running.",
                        returncode=UNAVAILABLE,
                    )
                self._import(options["folder"], options["others"])
                if options["photos"]:
                    self._fetch(options["photos"])
        except DumpError as error:
            raise CommandError(f"Nothing was imported: {error}") from error
        except SiteUnavailable as error:
            raise CommandError(
                f"{error} Run the command again later: it goes on.", returncode=UNAVAILABLE
            ) from error
        except KeyboardInterrupt as error:
            raise CommandError(
                "Interrupted. Nothing is half done: run the command again.", returncode=INTERRUPTED
            ) from error

    def _import(self, folder: Path, max_others: int) -> None:
        dumps = Dumps(folder)
        with transaction.atomic():
            dumps_stage(dumps, self._reading)
            self.stderr.write("Comparing them with what is known …")
            with interruptible():
                names = names_import()
                images = images_import(max_others=max_others)
        self._list("Left out", dumps.refused)
        self._list("Names", names.changes.remarks)
        self._list("Not in the dumps under any of their names", names.missing)
        changes = names.changes
        self.stdout.write(
            f"Names: {changes.added} added, {changes.changed} changed, {changes.removed} removed; "
            f"look-alikes of {names.look_alikes} species changed."
        )
        self.stdout.write(
            f"Images: {images.written} rows written, {images.deleted} deleted; author and licence "
            f"of {images.attributed} photos changed; {images.reserved} photos may no longer be "
            "shown or trained on."
        )
        labelled = photos_label()
        self._list("Imported with another label than the settled one", labelled.contradicted)
        self._list("Labels that are no longer settled, and were withdrawn", labelled.withdrawn)
        counts = ", ".join(f"{number} {outcome}" for outcome, number in labelled.outcomes.items())
        self.stdout.write(f"Settled photos: {counts or 'none known'}.")
        if labelled.contradicted:
            self.stdout.write("Imported labels are changed in review: /admin/, Photos.")
        if images.attributed:
            listed_photos_send()

    def _fetch(self, number: int) -> None:
        expected = sum(photos_missing(number=number).values())
        outcomes: Counter[str] = Counter()
        bar = tqdm(total=expected, unit="photo", file=sys.stderr, disable=not sys.stderr.isatty())
        with bar:
            try:
                for each in photos_download(number=number, tell=self.stderr.write):
                    is_new = each.outcome == ImportOutcome.NEW
                    outcomes["fetched" if is_new else "refused"] += 1
                    if not is_new:
                        self.stderr.write(f"image {each.image_id}, refused: {each.outcome}")
                    bar.update(is_new)
                    if bar.disable and outcomes.total() % LINE_EVERY == 0:
                        self.stderr.write(f"{outcomes['fetched']} of {expected} photos")
            finally:
                self.stdout.write(
                    f"Photos: {outcomes['fetched']} fetched, {outcomes['refused']} refused."
                )
                if outcomes["fetched"]:
                    listed_photos_send()

    @contextmanager
    def _reading(self, name: str, size: int) -> Iterator[OnBytes]:
        """Show how much of a file is read: a bar, or a line where there is no terminal."""
        if not sys.stderr.isatty():
            self.stderr.write(f"{name}, {size / 1e6:.1f} MB")
            yield lambda _: None
            return
        with tqdm(
            total=size, desc=name, unit="B", unit_scale=True, file=sys.stderr, leave=False
        ) as bar:
            yield bar.update

    def _list(self, heading: str, lines: list[str]) -> None:
        if lines:
            self.stderr.write(f"{heading}:")
        for line in lines:
            self.stderr.write(f"  {line}")


def _number(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text[:10]) <= MAX_NUMBER:
        return int(text)
    raise ArgumentTypeError(f"{text[:40]!r} is no number from 0 to {MAX_NUMBER:,}.")
