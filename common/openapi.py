"""The OpenAPI schema: which errors each call can answer with, and the names of components."""

import json
from typing import Any

from drf_spectacular.utils import OpenApiExample
from drf_standardized_errors import openapi

from common.api import error_response

CODES = {
    "400": ("parse_error", "invalid", "required", "…"),
    "401": ("not_authenticated", "authentication_failed"),
    "403": ("permission_denied",),
    "404": ("not_found",),
    "406": ("not_acceptable",),
    "413": ("request_too_large",),
    "415": ("unsupported_media_type",),
    "429": ("throttled",),
    "500": ("error",),
    "503": ("database_unavailable", "query_timeout"),
}
"""The codes of errors that a call does not state by itself."""


class AutoSchema(openapi.AutoSchema):
    """Adds the errors that a view does not state. All have the component `Error`."""

    def _get_allowed_error_status_codes(self) -> list[str]:
        return list(CODES)

    def _should_add_error_response(self, responses: dict, status_code: str) -> bool:
        if status_code in responses:
            return False
        if status_code in ("400", "500"):  # an unknown query parameter, at least
            return True
        if status_code in ("413", "415"):
            return self.method in ("POST", "PUT", "PATCH")
        if status_code == "503":
            return bool(self.get_auth()) or self.method == "POST"
        return bool(super()._should_add_error_response(responses, status_code))

    def _get_error_response_serializer(self, status_code: str) -> object:
        return error_response(CODES[status_code])

    def _get_response_for_code(
        self,
        serializer: Any,
        status_code: Any,
        media_types: list[str] | None = None,
        direction: Any = "response",
    ) -> dict[str, Any]:
        if int(status_code) >= 400:
            media_types = ["application/json"]  # whatever the call's answers are
        response: dict[str, Any] = super()._get_response_for_code(
            serializer, status_code, media_types, direction
        )
        return response

    def _get_error_response_examples(self) -> list[OpenApiExample]:
        return []


def shorten_names(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Name a request's component `TrainRequest` instead of `TrainRequestRequest`."""
    text = json.dumps(result, default=str)
    schemas = result["components"]["schemas"]
    for name in sorted(schemas):
        short = name.removesuffix("Request")
        if name.endswith("RequestRequest") and short not in schemas:
            text = text.replace(f'"{name}"', f'"{short}"').replace(f'/{name}"', f'/{short}"')
    renamed: dict[str, Any] = json.loads(text)
    return renamed
