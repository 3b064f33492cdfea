"""Serializer fields and schemas that several endpoints use."""

import re
from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import OpenApiResponse, inline_serializer
from rest_framework import serializers


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
