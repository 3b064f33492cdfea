"""Tests that the OpenAPI schema is valid, complete and without warnings."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient
from vacuum import lint


def schema_for(client: APIClient) -> dict:
    headers = {"Accept": "application/vnd.oai.openapi+json"}
    return client.get("/api/v1/schema", headers=headers).data


def operations(schema: dict) -> Iterator[tuple[str, dict]]:
    """Yield each call ("get /api/v1/status") with its operation."""
    for path, verbs in schema["paths"].items():
        for verb, operation in verbs.items():
            yield f"{verb} {path}", operation


def test_schema_validates_without_warnings(capsys, tmp_path) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "s.yaml"))
    output = capsys.readouterr()
    assert "warning" not in (output.out + output.err).lower()


@pytest.mark.django_db
def test_a_linter_finds_nothing(nobody: APIClient) -> None:
    rules = Path(__file__).with_name("openapi_rules.yaml").read_bytes()
    schema = json.dumps(schema_for(nobody), default=str).encode()
    found = [
        f"{each.rule_id}: {each.message} ({each.path})" for each in lint(schema, ruleset=rules)
    ]
    assert found == []


@pytest.mark.django_db
def test_schema_contains_the_specified_endpoints(nobody: APIClient) -> None:
    paths = schema_for(nobody)["paths"]
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
        ("/api/v1/predictions/{id}/explanation", "get"),
        ("/api/v1/predictions/{id}/feedback", "post"),
        ("/api/v1/observations", "get"),
        ("/api/v1/observations", "post"),
        ("/api/v1/observations/{id}", "get"),
        ("/api/v1/observations/{id}", "patch"),
        ("/api/v1/observations/{id}", "delete"),
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
    responses = schema_for(nobody)["paths"]["/api/v1/token"]["post"]["responses"]
    assert "`authentication_failed`" in responses["401"]["description"]
    assert "`throttled`, `login_locked`" in responses["429"]["description"]
    assert "`login_busy`, `database_unavailable`" in responses["503"]["description"]


@pytest.mark.django_db
def test_all_errors_have_one_schema(nobody: APIClient) -> None:
    schema = schema_for(nobody)
    assert schema["openapi"] == "3.1.0"
    assert [name for name in schema["components"]["schemas"] if "Error" in name] == [
        *("Error", "ErrorDetail", "ErrorTypeEnum"),
    ]
    for call, operation in operations(schema):
        assert {"400", "406", "500"} <= set(operation["responses"]), call
        for status, response in operation["responses"].items():
            if status >= "400" and (call, status) != ("get /api/v1/dbconnex", "503"):
                schemas = {kind: each["schema"] for kind, each in response["content"].items()}
                assert schemas == {
                    "application/json": {"$ref": "#/components/schemas/Error"},
                    "application/problem+json": {"$ref": "#/components/schemas/Problem"},
                }, (call, status)


@pytest.mark.django_db
def test_operations_have_chosen_names_and_summaries(nobody: APIClient) -> None:
    schema = schema_for(nobody)
    names = {operation["operationId"]: call for call, operation in operations(schema)}
    assert len(names) == len(list(operations(schema)))
    assert all(re.fullmatch("[a-z]+([A-Z][a-z]*)*", name) for name in names)
    assert names["predict"] == "post /api/v1/predictions"
    assert {"listPredictions", "getPrediction", "deletePrediction", "predictBatch"} <= set(names)
    assert all(operation["summary"] for _, operation in operations(schema))
    schemes = schema["components"]["securitySchemes"]
    assert [(scheme["type"], scheme["scheme"]) for scheme in schemes.values()] == [
        ("http", "bearer")
    ]


@pytest.mark.django_db
def test_schema_tells_errors_and_limits_of_a_prediction(nobody: APIClient, production) -> None:
    schema = schema_for(nobody)
    schemas = schema["components"]["schemas"]
    for name in ("PredictionJsonRequest", "PredictionUploadRequest", "PredictionBatchRequest"):
        number = schemas[name]["properties"]["nb_preds"]
        assert (number["minimum"], number["maximum"]) == (1, len(production.labels))
    responses = schema["paths"]["/api/v1/predictions"]["post"]["responses"]
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
