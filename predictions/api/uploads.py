from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, TemporaryFileUploadHandler
from rest_framework.request import Request

from mlmodels.ml.preprocessing import MAX_BYTES
from predictions.api.failures import PredictionFailed
from predictions.errors import NotAccepted
from predictions.incoming import IncomingUpload
from predictions.storage_space import refuse_when_full


def parsed_body(request: Request) -> Any:
    """Return the parsed body. Django writes large uploads to the disk while it parses them.

    Raises PredictionFailed("storage_full") if the disk is full.
    """
    try:
        with refuse_when_full():
            return request.data
    except NotAccepted as refused:
        raise PredictionFailed(refused.code, refused.detail) from refused


class IncomingUploadHandler(TemporaryFileUploadHandler):
    """Writes an upload that is too large for memory where `incoming_keep` can take it.

    Bytes beyond the largest photo allowed are counted, so that it is refused, but not written.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        FileUploadHandler.new_file(self, *args, **kwargs)
        self.file = IncomingUpload(self.file_name or "upload", self.content_type, self.charset)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start <= MAX_BYTES:
            with self._deleting_on_errors():
                self.file.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile | None:
        with self._deleting_on_errors():  # the last bytes are written here
            return super().file_complete(file_size)

    @contextmanager
    def _deleting_on_errors(self) -> Iterator[None]:
        """Delete the file at once if it cannot be written, for example on a full disk."""
        try:
            yield
        except OSError:
            with suppress(OSError):  # closing writes, and then deletes
                self.file.close()
            raise
