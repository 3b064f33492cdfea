"""The light path of `./champipy predict`: no Django while the stack is up."""

import json
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.home import PROJECT, load_dotenv
from predictions.terminal.arguments import (
    DESCRIPTION,
    EPILOG,
    INTERRUPTED,
    WRONG_USAGE,
    add_arguments,
)
from predictions.terminal.client import Client, WrongRequest
from predictions.terminal.output import Failure, Report
from predictions.terminal.photos import NoPhotos, Photo, list_photos

AT_ONCE = 4
"""Photos that are sent at the same time: enough for the workers to have one in hand always."""


def main(arguments: list[str]) -> int:
    """Predict the photos that the arguments name; return the exit code.

    Where no stack is up, manage.py takes the place of this process, with the same arguments.
    """
    parser = ArgumentParser(
        prog="./champipy predict",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(parser)
    options = parser.parse_args(arguments)
    load_dotenv()
    home = Path(os.environ["CHAMPIPY_HOME"])
    client = Client(home, _address(home))
    if not client.is_up():
        command = [sys.executable, "-P", "-m", "champipy_site.stack", "predict", *arguments]
        os.execve(command[0], command, {**os.environ, "PYTHONPATH": str(PROJECT)})  # noqa: S606
    try:
        photos = list_photos(options.photos, sys.stdin.buffer)
        report = Report(options.json, options.proposed, len(photos))
        return report.run(_answers(client, photos, options.nb_preds, options.proposed))
    except (NoPhotos, WrongRequest) as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE


def _address(home: Path) -> str:
    """Return the address of the stack that runs with this home, as far as its state tells."""
    try:
        return str(json.loads((home / "stack.json").read_text())["address"])
    except (OSError, ValueError, KeyError):
        return ""


def _answers(
    client: Client, photos: list[Photo], nb_preds: int, proposed: str | None
) -> Iterator[tuple[Photo, dict[str, Any] | Failure]]:
    def answer(photo: Photo) -> dict[str, Any] | Failure:
        return client.predict(photo, nb_preds=nb_preds, proposed=proposed)

    # The first alone: it may renew the token, and shows whether the service answers at all.
    yield photos[0], answer(photos[0])
    if len(photos) > 1:
        from concurrent.futures import ThreadPoolExecutor  # late: one photo needs no pool

        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            yield from zip(photos[1:], pool.map(answer, photos[1:]), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[2:]))  # the first is `predict`
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `| head` ended; nothing may be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
