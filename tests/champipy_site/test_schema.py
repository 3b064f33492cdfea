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
def test_swagger_ui_loads_nothing_from_other_sites(nobody: APIClient) -> None:
    page = nobody.get("/api/v1/docs").content.decode()
    assert "swagger-ui" in page
    assert "//cdn" not in page
