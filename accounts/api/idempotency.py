"""The `Idempotency-Key` header: a POST that is sent twice creates once.

The key is stored with the ids of what was created, not with the answer: the same request later gets
the answer as things stand then. A refused request stores no key, so that it may be sent again.
"""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import APIException, NotFound, ParseError
from rest_framework.request import Request

from accounts.models import KEY_COUNTS, IdempotencyKey, User
from common.messages import Message

HEADER = "Idempotency-Key"
PATTERN = r"^[\x21-\x7e]{1,255}$"

IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description=(
        "Any text that is new for each request. Sent again within a day with the same body, it "
        "gets the answer of the first request, as things stand then, and creates nothing."
    ),
)
"""The header's description in the OpenAPI schema."""

T = TypeVar("T", bound=Model)


class KeyReused(APIException):
    """The same key came with another body."""

    status_code = 422
    default_code = "idempotency_key_reused"
    default_detail = _(
        "This Idempotency-Key was sent with another body within the last day. Nothing was "
        "created. Choose a new key for a new request."
    )


def create_once(request: Request, *, create: Callable[[], list[T]], rows: QuerySet[T]) -> list[T]:
    """Return what `create` returns, or, if the request's key came before, what it created then.

    `create` runs in one transaction with the key, so that a process may die at any line; of two
    requests at the same time the second waits for the first. `rows` is where the created rows are
    found again; those that were deleted since are left out.
    Raises KeyReused if the key came with another body, NotFound if all its rows were deleted,
    ParseError if it is malformed, and what `create` raises.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return create()
    if not re.fullmatch(PATTERN, key):
        raise ParseError(
            Message(
                "The %(header)s is malformed: send 1 to 255 ASCII characters without spaces.",
                header=HEADER,
            )
        )
    created = created_once(
        user=cast(User, request.user),
        path=request.path,
        key=key,
        body_sha256=body_sha256(request.data),
        create=create,
        rows=rows,
    )
    if not created:
        raise NotFound(
            Message("What was created with this %(header)s has been deleted.", header=HEADER)
        )
    return created


def created_once(
    *,
    user: User,
    path: str,
    key: str,
    body_sha256: str,
    create: Callable[[], list[T]],
    rows: QuerySet[T],
) -> list[T]:
    """Return what `create` returns, or, if the key came before, what is left of what it created.

    As `create_once` does, for pages, too: `path` says which form it is. Raises KeyReused if the key
    came with another body, and what `create` raises.
    """
    place = {"user": user, "path": path, "key": key}
    with transaction.atomic():
        too_old = timezone.now() - KEY_COUNTS
        IdempotencyKey.objects.filter(**place, created_at__lt=too_old).delete()
        # Inserting waits while another transaction has inserted the same key.
        stored, is_new = IdempotencyKey.objects.get_or_create(
            **place, defaults={"body_sha256": body_sha256}
        )
        if is_new:
            created = create()
            stored.created_ids = [row.pk for row in created]
            stored.save(update_fields=["created_ids"])
            return created
    if stored.body_sha256 != body_sha256:
        raise KeyReused
    found = rows.in_bulk(stored.created_ids)
    return [found[pk] for pk in stored.created_ids if pk in found]


def body_sha256(data: Any) -> str:
    """Return the SHA-256 of a parsed body: of its fields, and of the bytes of its files."""
    if isinstance(data, QueryDict):
        data = {name: [_value(value) for value in data.getlist(name)] for name in data}
    try:
        text = json.dumps(data, sort_keys=True)
    except RecursionError as error:
        raise ParseError(gettext("JSON parse error - it is nested too deeply")) from error
    return hashlib.sha256(text.encode()).hexdigest()


def _value(value: Any) -> Any:
    if not isinstance(value, UploadedFile):
        return value
    digest = hashlib.sha256()
    for chunk in value.chunks():
        digest.update(chunk)
    return {"sha256": digest.hexdigest()}
