"""Tests that the OpenAPI schema is valid, complete and without warnings."""

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient


def test_schema_validates_without_warnings(capsys, tmp_path) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "s.yaml"))
    output = capsys.readouterr()
    assert "warning" not in (output.out + output.err).lower()


@pytest.mark.django_db
def test_schema_contains_the_specified_endpoints(nobody: APIClient) -> None:
    response = nobody.get("/api/v1/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    paths = response.data["paths"]
    assert {(path, verb) for path, verbs in paths.items() for verb in verbs} >= {
        ("/api/v1/status", "get"),
        ("/api/v1/dbconnex", "get"),
        ("/api/v1/species", "get"),
        ("/api/v1/user", "get"),
        ("/api/v1/token", "post"),
        ("/api/v1/token", "delete"),
        ("/api/v1/predictions", "get"),
        ("/api/v1/predictions", "post"),
        ("/api/v1/predictions/{id}", "get"),
        ("/api/v1/accuracy", "get"),
        ("/api/v1/past_pred_acc", "get"),
        ("/api/v1/nb_new_img", "get"),
        ("/api/v1/train", "post"),
        ("/api/v1/finetune", "post"),
        ("/api/v1/search", "post"),
        ("/api/v1/runs", "get"),
        ("/api/v1/runs/{id}", "get"),
        ("/api/v1/runs/{id}/cancel", "post"),
        ("/api/v1/models", "get"),
        ("/api/v1/models/{id}/promote", "post"),
        ("/api/v1/models/rollback", "post"),
        ("/api/v1/alerts", "get"),
        ("/api/v1/alerts/{id}/acknowledge", "post"),
    }


@pytest.mark.django_db
def test_schema_has_the_errors_of_a_login(nobody: APIClient) -> None:
    schema = nobody.get(
        "/api/v1/schema", headers={"Accept": "application/vnd.oai.openapi+json"}
    ).data
    responses = schema["paths"]["/api/v1/token"]["post"]["responses"]
    enums = {
        "401": ("LoginWrong", ["authentication_failed"]),
        "429": ("LoginRefused", ["throttled", "login_locked"]),
        "503": ("LoginUnavailable", ["login_busy", "database_unavailable"]),
    }
    for status, (name, codes) in enums.items():
        content = responses[status]["content"]["application/json"]
        assert content["schema"]["$ref"] == f"#/components/schemas/{name}ErrorResponse"
        code = schema["components"]["schemas"][f"{name}Error"]["properties"]["code"]
        # The schema of a code with one value only stands inline, or in a component of its own.
        enum = (
            schema["components"]["schemas"][code["$ref"].split("/")[-1]] if "$ref" in code else code
        )
        assert enum["enum"] == codes


@pytest.mark.django_db
def test_schema_tells_errors_and_limits_of_a_prediction(nobody: APIClient, production) -> None:
    headers = {"Accept": "application/vnd.oai.openapi+json"}
    schema = nobody.get("/api/v1/schema", headers=headers).data
    schemas = schema["components"]["schemas"]
    for name in ("PredictionJsonRequestRequest", "PredictionUploadRequestRequest"):
        number = schemas[name]["properties"]["nb_preds"]
        assert (number["minimum"], number["maximum"]) == (1, len(production.labels))
    responses = schema["paths"]["/api/v1/predictions"]["post"]["responses"]
    [content] = responses["400"]["content"].values()
    kinds = schemas[content["schema"]["$ref"].rsplit("/", 1)[1]]["discriminator"]["mapping"]
    assert set(kinds) == {"validation_error", "client_error"}
    assert {"401", "413", "415", "503"} <= set(responses)
    parameters = schema["paths"]["/api/v1/predictions"]["get"]["parameters"]
    query = {parameter["name"]: parameter["schema"] for parameter in parameters}
    assert query["page"] == {"type": "integer", "minimum": 1, "maximum": 999_999_999}
    assert query["page_size"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 50}


@pytest.mark.django_db
def test_swagger_ui_loads_nothing_from_other_sites(nobody: APIClient) -> None:
    page = nobody.get("/api/v1/docs").content.decode()
    assert "swagger-ui" in page
    assert "//cdn" not in page
