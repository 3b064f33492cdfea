"""The OpenAPI schema: which errors each call can answer with, and the names of components."""

import json
import re
from typing import Any

from drf_spectacular.utils import OpenApiExample
from drf_standardized_errors import openapi

from common.api import PROBLEM_TYPE, error_response

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
    "503": ("database_unavailable", "query_timeout", "storage_unavailable"),
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


TAGS = {
    "accounts": ("Tokens, and what one's user has used.", ("token", "user", "usage")),
    "predictions": ("Photos and what they show.", ("predictions", "species", "photos")),
    "observations": (
        "Finds with several photos, and whether the names proposed for them fit.",
        ("observations",),
    ),
    "mushroom-observer": (
        "Your API key of Mushroom Observer, and what you wrote there.",
        ("mushroom-observer-key", "mushroom-observer-writes"),
    ),
    "training": ("Runs that make new versions.", ("train", "finetune", "search", "runs")),
    "models": ("Versions, and which is in production.", ("models",)),
    "monitoring": (
        "How good the model is, and what needs attention.",
        ("accuracy", "past_pred_acc", "nb_new_img", "alerts"),
    ),
    "service": ("Whether ChampiPy is up.", ("status", "dbconnex")),
}
"""The groups of the calls: what to say of each, and the first parts of its paths."""
PROBLEM_SCHEMA = {
    "type": "object",
    "description": (
        f"An error as RFC 9457 has it, for who names {PROBLEM_TYPE} in `Accept`: "
        "the first one, and the list of all."
    ),
    "properties": {
        "type": {"type": "string", "description": "Always `about:blank`."},
        "title": {"type": "string", "description": "The name of the status."},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/ErrorDetail"}},
    },
    "required": ["type", "title", "status", "detail", "code", "errors"],
}
"""What `champipy_site.api_middleware.problem` makes."""
ID_SCHEMA = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}


def describe(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Group the calls, describe ids in paths, and give each error an example."""
    groups = {part: tag for tag, (_, parts) in TAGS.items() for part in parts}
    used: dict[str, str] = {}
    for path, operations in result["paths"].items():
        part = path.removeprefix("/api/v1/").split("/")[0]
        tag = groups.get(part, part)
        used[tag] = TAGS[tag][0] if tag in TAGS else f"`/{part}`"
        for operation in operations.values():
            operation["tags"] = [tag]
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] == "id":
                    parameter["schema"] = ID_SCHEMA
                    parameter["description"] = "As lists and answers give it."
            for status, response in operation["responses"].items():
                _add_examples(status, response)
                _add_problem(response)
    result["components"]["schemas"]["Problem"] = PROBLEM_SCHEMA
    result["tags"] = [{"name": tag, "description": used[tag]} for tag in sorted(used)]
    return result


def _add_examples(status: str, response: dict[str, Any]) -> None:
    """Give an error an example for each of its codes, which its description lists."""
    content = response.get("content", {}).get("application/json", {})
    if content.get("schema") != {"$ref": "#/components/schemas/Error"}:
        return
    kind = "client_error" if status < "500" else "server_error"
    content["examples"] = {
        code: {
            "value": {
                "type": kind if code not in VALIDATION_CODES else "validation_error",
                "errors": [
                    {
                        "code": code,
                        "detail": "What happened, to what, and what to do now.",
                        "attr": "nb_preds" if code in VALIDATION_CODES else None,
                    }
                ],
            }
        }
        for code in re.findall("`([a-z_]+)`", response["description"])
    }


def _add_problem(response: dict[str, Any]) -> None:
    """Say that an error has another form for who accepts that by name."""
    content = response.get("content", {})
    if content.get("application/json", {}).get("schema") == {"$ref": "#/components/schemas/Error"}:
        content[PROBLEM_TYPE] = {"schema": {"$ref": "#/components/schemas/Problem"}}


VALIDATION_CODES = ("invalid", "required")


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
