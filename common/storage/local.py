"""Files under CHAMPIPY_HOME."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage

from common.files import sync_folder, write_atomically
from common.storage.base import FileStore, StoredFile


class LocalStorage(FileStore, FileSystemStorage):
    """Files in a folder of CHAMPIPY_HOME, or in MEDIA_ROOT, written atomically."""

    is_remote = False

    def __init__(self, folder: str = "") -> None:
        super().__init__()
        self._folder = folder

    @property
    def base_location(self) -> str:
        """The folder as the settings name it."""
        if not self._folder:
            return str(settings.MEDIA_ROOT)
        return str(Path(settings.CHAMPIPY_HOME) / self._folder)

    @property
    def location(self) -> str:
        """The folder as an absolute path."""
        return os.path.abspath(self.base_location)  # noqa: PTH100 - as FileSystemStorage does

    def _save(self, name: str, content: Any) -> str:
        path = Path(self.path(name))
        if (temporary := getattr(content, "temporary_file_path", None)) is None:
            content.seek(0)
            write_atomically(path, content.chunks())
            return name
        content.flush()
        os.fsync(content.fileno())
        Path(temporary()).replace(path)
        sync_folder(path.parent)
        return name

    def link(self, name: str, other: FileStore, other_name: str) -> bool:
        if not isinstance(other, LocalStorage):
            return False
        path = Path(self.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.hardlink_to(other.path(other_name))
        except OSError:  # there is such a file, or the file system has no links
            return False
        sync_folder(path.parent)
        return True

    @property
    def upload_folder(self) -> Path | None:
        folder = Path(self.location)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def touch(self, name: str) -> None:
        os.utime(self.path(name))

    def files(self, prefix: str = "") -> Iterator[StoredFile]:
        folder, slash, start = prefix.rpartition("/")
        return self._walk(folder + slash, start)

    def _walk(self, folder: str, start: str = "") -> Iterator[StoredFile]:
        try:
            with os.scandir(Path(self.location) / folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in found:
            if not entry.name.startswith(start):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(f"{folder}{entry.name}/")
            else:
                with suppress(FileNotFoundError):  # deleted meanwhile
                    record = entry.stat(follow_symlinks=False)
                    yield StoredFile(folder + entry.name, record.st_size, record.st_mtime)

    def has_folder(self, name: str) -> bool:
        return Path(self.path(name)).is_dir()

    def save_folder(self, name: str, source: Path) -> None:
        target = Path(self.path(name))
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)

    def delete_folder(self, name: str) -> int:
        target = Path(self.path(name))
        doomed = target.with_name(f".{target.name}.deleted")
        shutil.rmtree(doomed, ignore_errors=True)  # left by a process that died below
        if not target.is_dir():
            return 0
        target.rename(doomed)
        size = sum(path.stat().st_size for path in doomed.iterdir())
        shutil.rmtree(doomed)
        return size

    def local_folder(self, name: str, *, is_stale: bool = False) -> Path:
        folder = Path(self.path(name))
        if not folder.is_dir():
            raise FileNotFoundError(folder)
        return folder
