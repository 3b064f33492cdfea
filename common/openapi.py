"""The OpenAPI schema: which errors each call can answer with."""

from drf_spectacular.utils import PolymorphicProxySerializer
from drf_standardized_errors import openapi
from drf_standardized_errors.openapi_serializers import (
    ParseErrorResponseSerializer,
    ValidationErrorResponseSerializer,
)

from common.api import error_response

ADDED = {
    "413": error_response("RequestTooLarge", ["request_too_large"]),
    "503": error_response("DatabaseUnavailable", ["database_unavailable"]),
}


class AutoSchema(openapi.AutoSchema):
    """Adds the errors that drf-standardized-errors does not find by itself."""

    def _should_add_error_response(self, responses: dict, status_code: str) -> bool:
        if status_code in responses:
            return False
        if status_code == "400":  # an unknown query parameter, at least
            return True
        if status_code in ("413", "415"):
            return self.method in ("POST", "PUT", "PATCH")
        if status_code == "503":
            return bool(self.get_auth()) or self.method == "POST"
        return bool(super()._should_add_error_response(responses, status_code))

    def _get_error_response_serializer(self, status_code: str) -> object:
        return ADDED.get(status_code) or super()._get_error_response_serializer(status_code)

    def _get_http400_serializer(self) -> PolymorphicProxySerializer:
        if self._should_add_validation_error_response():
            return super()._get_http400_serializer()
        return PolymorphicProxySerializer(
            component_name="ErrorResponse400",
            serializers={
                "validation_error": ValidationErrorResponseSerializer,
                "client_error": ParseErrorResponseSerializer,
            },
            resource_type_field_name="type",
        )
