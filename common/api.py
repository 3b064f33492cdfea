"""Serializer fields and schemas that several endpoints use."""

import io
import re
from collections.abc import Iterable, Mapping
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiResponse, extend_schema_serializer
from rest_framework import negotiation, parsers, serializers
from rest_framework.exceptions import ParseError
from rest_framework.request import Request

from common.messages import Message

PROBLEM_TYPE = "application/problem+json"
"""The media type of errors as RFC 9457 has them."""
ERROR_TYPES = ["validation_error", "client_error", "server_error"]


class WholeNumberField(serializers.IntegerField):
    """Accepts an integer, or up to nine digits as text (from a form); no floats, no booleans."""

    def to_internal_value(self, data: Any) -> int:
        is_int = isinstance(data, int) and not isinstance(data, bool)
        if not is_int and not (isinstance(data, str) and re.fullmatch(r"[0-9]{1,9}", data)):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class ErrorDetailSerializer(serializers.Serializer):
    """One thing that is wrong."""

    code = serializers.CharField(help_text="Stable, for programs.")
    detail = serializers.CharField(help_text="For people.")
    attr = serializers.CharField(allow_null=True, help_text="The field or parameter, if it is one.")


@extend_schema_serializer(component_name="Error")
class ErrorSerializer(serializers.Serializer):
    """The shape of every error, whatever its status."""

    type = serializers.ChoiceField(ERROR_TYPES)
    errors = ErrorDetailSerializer(many=True)  # type: ignore[assignment]


def error_response(codes: Iterable[str]) -> OpenApiResponse:
    """Return the schema of an error response whose code is one of `codes`."""
    return OpenApiResponse(
        ErrorSerializer, description="One of the codes " + ", ".join(f"`{code}`" for code in codes)
    )


def accepts_problem_details(accept: str) -> bool:
    """Return whether an Accept header names application/problem+json (with any weight but 0)."""
    for item in accept.lower().split(","):
        media_type, *parameters = [part.strip() for part in item.split(";")]
        if media_type == PROBLEM_TYPE:
            return not any(re.fullmatch(r"q=0(\.0*)?", part) for part in parameters)
    return False


class Negotiation(negotiation.DefaultContentNegotiation):
    """Answers in JSON to who accepts problem details: they are only the form of errors."""

    def get_accept_list(self, request: Request) -> list[str]:
        accepted: list[str] = super().get_accept_list(request)
        has_problems = accepts_problem_details(request.headers.get("Accept", ""))
        return [*accepted, "application/json"] if has_problems else accepted


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
        except ParseError as error:  # DRF's own text is in English only
            raise ParseError(
                Message("JSON parse error - %(reason)s", reason=error.__context__)
            ) from error
        except RecursionError as error:
            raise ParseError(gettext("JSON parse error - it is nested too deeply")) from error
