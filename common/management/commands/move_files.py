import sys
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from common.storage import DamagedFileError, StorageUnavailable, file_store
from common.storage.moving import Move, Outcome, file_move, planned_moves
from common.wording import format_bytes

THREADS = 8


class Command(BaseCommand):
    help = (
        "Moves photos and model versions from CHAMPIPY_HOME to the object store that "
        "CHAMPIPY_STORAGE_URL names. Each file is read back and compared before it is deleted "
        "here. Safe to interrupt and to repeat. Stop the service before."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--back", action="store_true", help="move them from the object store to CHAMPIPY_HOME"
        )
        parser.add_argument(
            "--keep", action="store_true", help="copy: delete no file where it was before"
        )

    def handle(self, *args: Any, back: bool, keep: bool, **options: Any) -> None:
        if not file_store("default").is_remote:
            raise CommandError(
                "CHAMPIPY_STORAGE_URL is empty. Set it to the object store, also to move files "
                "back from there; see docs/operations.md, *Files in an object store*."
            )
        try:
            moves = list(planned_moves(back=back))
            outcomes = self._move(moves, keep=keep)
        except (StorageUnavailable, DamagedFileError) as error:
            raise CommandError(f"{error} Run the command again: it goes on from here.") from error
        place = "CHAMPIPY_HOME" if back else "the object store"
        size = sum(move.size for move, outcome in outcomes if outcome == Outcome.MOVED)
        count = sum(outcome == Outcome.MOVED for _, outcome in outcomes)
        self.stdout.write(f"{count} files, {format_bytes(size)}, are in {place}.")
        if back:
            self.stdout.write("Leave CHAMPIPY_STORAGE_URL out from now on, to use them there.")
        damaged = [move.name for move, outcome in outcomes if outcome == Outcome.DAMAGED]
        if damaged:
            raise CommandError(
                f"{len(damaged)} files are damaged and were left where they are; restore them from "
                f"a backup: {', '.join(damaged[:5])}{' …' if len(damaged) > 5 else ''}."
            )

    def _move(self, moves: list[Move], *, keep: bool) -> list[tuple[Move, Outcome]]:
        with (
            tqdm(
                total=sum(move.size for move in moves),
                unit="B",
                unit_scale=True,
                file=sys.stderr,
                disable=None,
            ) as bar,
            ThreadPoolExecutor(THREADS) as pool,
        ):
            outcomes = []
            done = pool.map(partial(file_move, keep=keep), moves)
            try:
                for move, outcome in zip(moves, done, strict=True):
                    outcomes.append((move, outcome))
                    bar.update(move.size)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return outcomes
