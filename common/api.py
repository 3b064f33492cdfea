"""Serializer fields and schemas that several endpoints use."""

import io
import re
from collections.abc import Iterable, Mapping
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from drf_spectacular.utils import OpenApiResponse, inline_serializer
from rest_framework import parsers, serializers
from rest_framework.exceptions import ParseError


class WholeNumberField(serializers.IntegerField):
    """Accepts an integer, or up to nine digits as text (from a form); no floats, no booleans."""

    def to_internal_value(self, data: Any) -> int:
        is_int = isinstance(data, int) and not isinstance(data, bool)
        if not is_int and not (isinstance(data, str) and re.fullmatch(r"[0-9]{1,9}", data)):
            self.fail("invalid")
        return int(super().to_internal_value(data))


def error_response(name: str, codes: Iterable[str]) -> OpenApiResponse:
    """Return the schema of an error response whose code is one of `codes`.

    `name` prefixes the names of the schema's components: "Promotion" gives "PromotionError".
    """
    codes = list(codes)
    error = inline_serializer(
        f"{name}Error",
        {
            "code": serializers.ChoiceField(codes),
            "detail": serializers.CharField(),
            "attr": serializers.CharField(allow_null=True),
        },
        many=True,
    )
    response = inline_serializer(
        f"{name}ErrorResponse",
        {
            "type": serializers.CharField(help_text="`client_error` or `server_error`."),
            "errors": error,
        },
    )
    return OpenApiResponse(response, description=", ".join(f"`{code}`" for code in codes))


class JSONParser(parsers.JSONParser):
    """Reads JSON up to DATA_UPLOAD_MAX_MEMORY_SIZE; refuses what is nested too deeply."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise RequestDataTooBig
        try:
            return super().parse(io.BytesIO(body), media_type, parser_context)
        except RecursionError as error:
            raise ParseError("JSON parse error - it is nested too deeply") from error
