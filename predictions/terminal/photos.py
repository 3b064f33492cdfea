"""Which photos the arguments of `./champipy predict` stand for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
"""Of the files that a folder stands for."""
MAX_INPUT_BYTES = 20_000_000
"""Of standard input; a photo has 10 MB at most."""


class NoPhotos(Exception):  # noqa: N818 - a condition to report, not a fault
    """The arguments stand for no photo; the message says which and why."""


@dataclass(frozen=True)
class Photo:
    """One photo to be predicted: a URL, a file, or bytes from standard input."""

    given: str
    """As it is shown: the URL or the path."""
    data: bytes | None = None

    @property
    def is_url(self) -> bool:
        return self.data is None and "://" in self.given

    @property
    def name(self) -> str:
        """Return the file's name without its folder."""
        return "standard input" if self.data is not None else Path(self.given).name

    def read(self) -> bytes:
        """Return the bytes of a file or of standard input. Raises OSError."""
        return Path(self.given).read_bytes() if self.data is None else self.data


def list_photos(arguments: Iterable[str], stdin: BinaryIO) -> list[Photo]:
    """Return the photos in the order of the arguments; those of a folder sorted by path.

    "-" is standard input: a photo, or, if it is text, one file, folder or URL a line.
    Raises NoPhotos if a folder or standard input has none.
    """
    photos: list[Photo] = []
    for argument in arguments:
        photos += _standard_input(stdin) if argument == "-" else _expand(argument)
    return photos


def _standard_input(stdin: BinaryIO) -> list[Photo]:
    data = stdin.read(MAX_INPUT_BYTES)
    try:
        if b"\0" in data:
            raise ValueError
        lines = [line.strip() for line in data.decode().splitlines() if line.strip()]
    except ValueError:
        return [Photo("-", data)]
    if not lines:
        raise NoPhotos("Standard input is empty. Send a photo, or one file or URL a line.")
    return [photo for line in lines for photo in _expand(line)]


def _expand(given: str) -> Iterator[Photo]:
    if "://" in given or not Path(given).is_dir():
        yield Photo(given)
        return
    files = sorted(
        path for path in Path(given).rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )  # fmt: skip
    if not files:
        raise NoPhotos(f"{given} has no photos ({', '.join(sorted(SUFFIXES))}).")
    yield from (Photo(str(path)) for path in files)
