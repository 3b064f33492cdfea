"""Files in an object store that speaks S3 (Amazon's, MinIO, Ceph, …), by django-storages and boto3.

Each object has its SHA-256 in its metadata, and what is read is compared with it. Requests that may
succeed if they are sent again are, for a few seconds; then StorageUnavailable is raised. A store
that does not answer at all is not asked by this process for the next few seconds, so that it holds
up neither web's threads nor workers.
"""

import base64
import functools
import hashlib
import http.client
import logging
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar

import urllib3
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError
from django.core.files import File
from storages.backends.s3 import S3Storage

from common.metrics import FILE_STORE_SECONDS
from common.storage.base import FileStore, StoredFile
from common.storage.cache import cached_folder
from common.storage.errors import DamagedFileError, StorageUnavailable

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 1.0
READ_TIMEOUT_S: Final = 5.0
"""How long the store may be silent while a request waits for it. With what a retry takes, this is
less than a task of the worker `inference` has."""
LARGE_TIMEOUT_S: Final = 60.0
"""The same once it was sent a file larger than LARGE: only versions have such, and nobody waits."""
RETRY_FOR_S: Final = 5.0
"""No request is sent again later than this after the first."""
MAX_TRIES: Final = 4
PAUSE_S: Final = 0.1
"""Before the second try; doubled before each further one."""
MIN_BYTES_PER_S: Final = 500_000
"""A download that is slower, and takes longer than RETRY_FOR_S, is given up."""
SILENT_FOR_S: Final = 3.0
"""How long a store is not asked again that did not answer."""
LARGE: Final = 12_000_000
"""In bytes; larger than any photo. Larger files are held on disk while they are read."""

Result = TypeVar("Result")

_TIMEOUTS = (ConnectTimeoutError, ReadTimeoutError, urllib3.exceptions.TimeoutError)
_FAILURES = (
    BotoCoreError,
    ResponseParserError,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    DamagedFileError,
)
_IN_VAIN = (NoCredentialsError, PartialCredentialsError)


class ObjectStorage(FileStore, S3Storage):
    """Objects of one bucket whose keys begin with `location`."""

    is_remote = True
    upload_folder = None
    _ask_after = 0.0
    """When the store may be asked again (`time.monotonic`), for all storages of this process."""

    @property
    def connection(self) -> Any:
        """The resource of boto3. All threads and storages of a process share its client."""
        return self._resource(READ_TIMEOUT_S)

    def _resource(self, read_timeout_s: float) -> Any:
        return _resource(
            os.getpid(), read_timeout_s, self.endpoint_url, self.region_name, self.access_key,
            self.secret_key, self.security_token,
        )  # fmt: skip

    def _open(self, name: str, mode: str = "rb") -> File:
        key = self._key(name)
        return File(self._ask(f"read {key}", lambda: self._get(key)), name)

    def _get(self, key: str) -> Any:
        answer = self._client.get_object(Bucket=self.bucket_name, Key=key)
        size, digest = answer["ContentLength"], hashlib.sha256()
        deadline = time.monotonic() + RETRY_FOR_S + size / MIN_BYTES_PER_S
        file = tempfile.SpooledTemporaryFile(max_size=LARGE)  # noqa: SIM115 - the caller's
        with closing(answer["Body"]) as body:
            # botocore's own read() returns only when it has all it was asked for.
            while chunk := body._raw_stream.read1(1 << 16):
                file.write(chunk)
                digest.update(chunk)
                if time.monotonic() > deadline:
                    raise ReadTimeoutError(endpoint_url=self.endpoint_url)
        metadata = {key.lower(): value for key, value in answer["Metadata"].items()}
        expected = metadata.get("sha256", digest.hexdigest())
        if file.tell() != size:
            raise urllib3.exceptions.ProtocolError(f"The answer ended after {file.tell()} bytes.")
        if digest.hexdigest() != expected:
            raise DamagedFileError(f"{key} is not as it was stored")
        file.seek(0)
        return file

    def _save(self, name: str, content: Any) -> str:
        key, digest = self._key(name), hashlib.sha256()
        content.seek(0)
        for chunk in content.chunks():
            digest.update(chunk)
        timeout_s = LARGE_TIMEOUT_S if content.tell() > LARGE else READ_TIMEOUT_S
        client = self._resource(timeout_s).meta.client

        def put() -> None:
            content.seek(0)
            client.put_object(
                Bucket=self.bucket_name,
                Key=key,
                Body=content,
                ContentType=self.default_content_type,
                ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
                Metadata={"sha256": digest.hexdigest()},
            )

        self._ask(f"write {key}", put)
        return name

    def delete(self, name: str) -> None:
        """Delete an object, if there is one."""
        key = self._key(name)
        self._ask(
            f"delete {key}",
            lambda: self._client.delete_object(Bucket=self.bucket_name, Key=key),
        )

    def exists(self, name: str) -> bool:
        """Return whether there is an object of this name."""
        try:
            self.size(name)
        except FileNotFoundError:
            return False
        return True

    def size(self, name: str) -> int:
        """Return the bytes of an object; raise FileNotFoundError."""
        key = self._key(name)
        answer = self._ask(
            f"look for {key}", lambda: self._client.head_object(Bucket=self.bucket_name, Key=key)
        )
        return int(answer["ContentLength"])

    def touch(self, name: str) -> None:
        """Do nothing: an object's time is that of its last writing."""

    def files(self, prefix: str = "") -> Iterator[StoredFile]:
        start = self._key("").rstrip("/") + "/"
        page: dict[str, Any] = {"NextContinuationToken": None}
        while "NextContinuationToken" in page:
            token = page["NextContinuationToken"]
            page = self._ask(
                f"list {start}{prefix}", functools.partial(self._page, start + prefix, token)
            )
            for entry in page.get("Contents", ()):
                name = entry["Key"].removeprefix(start)
                yield StoredFile(name, entry["Size"], entry["LastModified"].timestamp())

    def _page(self, prefix: str, token: str | None, **options: Any) -> dict[str, Any]:
        if token:
            options["ContinuationToken"] = token
        answer = self._client.list_objects_v2(Bucket=self.bucket_name, Prefix=prefix, **options)
        return dict(answer)

    def has_folder(self, name: str) -> bool:
        return next(self.files(f"{name}/"), None) is not None

    def save_folder(self, name: str, source: Path) -> None:
        paths = {f"{name}/{path.name}": path for path in sorted(source.iterdir())}
        for file_name, path in paths.items():
            with path.open("rb") as file:
                self.save(file_name, File(file))
        for former in list(self.files(f"{name}/")):
            if former.name not in paths:
                self.delete(former.name)

    def delete_folder(self, name: str) -> int:
        size = 0
        for file in list(self.files(f"{name}/")):
            self.delete(file.name)
            size += file.size
        return size

    def local_folder(self, name: str, *, is_stale: bool = False) -> Path:
        return cached_folder(self, name, is_stale=is_stale)

    @property
    def _client(self) -> Any:
        return self.connection.meta.client

    def _key(self, name: str) -> str:
        return str(self._normalize_name(name))

    def _ask(self, what: str, request: Callable[[], Result]) -> Result:
        """Return what a request returns; send it again where that may help.

        Raises FileNotFoundError, DamagedFileError or StorageUnavailable. `what` begins with a verb.
        """
        started, outcome = time.monotonic(), "failure"
        try:
            answer = self._ask_repeatedly(what, request, started)
            outcome = "success"
            return answer
        except FileNotFoundError:
            outcome = "missing"
            raise
        finally:
            operation = what.partition(" ")[0]
            FILE_STORE_SECONDS.labels(operation, outcome).observe(time.monotonic() - started)

    def _ask_repeatedly(self, what: str, request: Callable[[], Result], started: float) -> Result:
        if started < ObjectStorage._ask_after:
            raise StorageUnavailable(f"The file store does not answer: it was not asked to {what}.")
        tries = 0
        while True:
            tries += 1
            try:
                return request()
            except ClientError as error:
                failure: Exception = error
                may_pass = _may_pass(error)
            except _FAILURES as error:
                failure = error
                may_pass = not isinstance(error, _IN_VAIN)
            late = time.monotonic() - started > RETRY_FOR_S
            if late or tries == MAX_TRIES or not may_pass:
                break
            time.sleep(PAUSE_S * 2**tries * random.uniform(0.25, 0.5))  # noqa: S311
        if isinstance(failure, DamagedFileError):
            logger.error("%s, even after %d tries", failure, tries)
            raise failure
        if isinstance(failure, _TIMEOUTS):
            ObjectStorage._ask_after = time.monotonic() + SILENT_FOR_S
        logger.error("The file store did not %s, after %d tries: %s", what, tries, failure)
        raise StorageUnavailable(
            f"The file store did not {what}: {failure}", is_refusal=not may_pass
        ) from failure


def _may_pass(error: ClientError) -> bool:
    """Return whether a refusal may pass by itself; raise FileNotFoundError if it is no refusal."""
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    code = error.response["Error"]["Code"]
    if status == 404 and code != "NoSuchBucket":
        raise FileNotFoundError(str(error)) from error
    return status >= 500 or status in (408, 429) or code == "RequestTimeout"


_resource_lock = threading.Lock()


def _resource(*key: Any) -> Any:
    with _resource_lock:
        return _new_resource(*key)


@functools.lru_cache(maxsize=4)
def _new_resource(  # noqa: PLR0917 - they are the key of the cache
    process: int,  # a forked process must not share its parent's connections
    read_timeout_s: float,
    endpoint: str | None,
    region: str | None,
    access_key: str | None,
    secret_key: str | None,
    token: str | None,
) -> Any:
    session = Session(
        aws_access_key_id=access_key, aws_secret_access_key=secret_key, aws_session_token=token
    )
    if region is None and endpoint is not None and session.region_name is None:
        region = "us-east-1"  # what a store that is not Amazon's expects to have been signed
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=read_timeout_s,
        retries={"total_max_attempts": 1},
        max_pool_connections=64,
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint else "auto"},
        # Not all stores know these newer checksums. ChampiPy compares SHA-256s itself.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.resource("s3", region_name=region, endpoint_url=endpoint, config=config)
