import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone
from tqdm import tqdm

from common.wording import format_bytes
from supervision.retention.selectors import Amount, prunable
from supervision.retention.services import prune


class Command(BaseCommand):
    help = (
        "Deletes what is kept longer than the settings CHAMPIPY_KEEP_… say, as beat does daily. "
        "What a training, an evaluation or a review needs stays. Safe to interrupt and to repeat."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="only show what would be deleted"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        planned = prunable(now)
        if options["dry_run"]:
            self._show(planned)
            self.stdout.write("Nothing was deleted. Run ./champipy prune to delete it.")
            return
        total = sum(amount.count for amount in planned)
        with tqdm(total=total, unit=" deleted", file=sys.stderr, disable=None) as bar:
            self._show(prune(now=now, report=bar.update))

    def _show(self, amounts: list[Amount]) -> None:
        width = max(len(amount.subject) for amount in amounts)
        self.stdout.write(f"{'':{width}}  {'count':>9}  files on disk")
        for amount in amounts:
            size = format_bytes(amount.bytes) if amount.bytes else ""
            self.stdout.write(f"{amount.subject:{width}}  {amount.count:>9,}  {size:>13}".rstrip())
        files = sum(amount.bytes for amount in amounts)
        self.stdout.write(f"Files in all: {format_bytes(files)}.")
