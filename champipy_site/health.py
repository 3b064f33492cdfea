"""The endpoints `/status` and `/dbconnex`, which answer even if PostgreSQL does not."""

import logging
import time
from contextlib import closing
from typing import Any

import psycopg2
import psycopg2.extensions
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mlmodels.models import ModelVersion

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 2


def _fresh_connection() -> psycopg2.extensions.connection:
    """Return a new connection; raise psycopg2.Error after CONNECT_TIMEOUT_S seconds.

    A connection that Django keeps open could hang as long as the server does.
    """
    parameters = connection.get_connection_params()
    parameters |= {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "options": "-c statement_timeout=500",
        "cursor_factory": None,
    }
    return psycopg2.connect(**parameters)


class ModelStatusSerializer(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.IntegerField()
    stage = serializers.CharField()


class StatusSerializer(serializers.Serializer):
    status = serializers.CharField()
    version = serializers.CharField()
    model = ModelStatusSerializer(allow_null=True)


class DbConnexSerializer(serializers.Serializer):
    connected = serializers.BooleanField()
    latency_ms = serializers.FloatField(required=False)


class PublicView(APIView):
    """A view open to everybody; it ignores tokens, even invalid ones."""

    authentication_classes: list = []
    permission_classes: list = []


class StatusView(PublicView):
    """Returns the version of ChampiPy and the model in production.

    While the database is unavailable, this is the last model that was read.
    """

    last_model: dict[str, Any] | None = None

    @extend_schema(
        operation_id="getStatus",
        summary="Whether ChampiPy is up, and which model is in production",
        auth=[],
        responses=StatusSerializer,
    )
    def get(self, request: Request) -> Response:
        table = ModelVersion._meta.db_table
        production = ModelVersion.Stage.PRODUCTION.value
        try:
            with closing(_fresh_connection()) as fresh, fresh.cursor() as cursor:
                cursor.execute(
                    f'SELECT name, version, stage FROM "{table}" WHERE stage = %s',  # noqa: S608
                    [production],
                )
                row = cursor.fetchone()
            StatusView.last_model = (
                dict(zip(("name", "version", "stage"), row, strict=True)) if row else None
            )
        except psycopg2.Error as error:
            logger.warning("The production model could not be read from the database: %s", error)
        return Response(
            {"status": "ok", "version": settings.VERSION, "model": StatusView.last_model}
        )


def livez(request: HttpRequest) -> HttpResponse:
    """Say that this process answers. A supervisor restarts it where it does not."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """Say whether people can be served: PostgreSQL answers, and a version is in production.

    While it cannot, it is answered with 503, and a load balancer sends people elsewhere.
    """
    table = ModelVersion._meta.db_table
    try:
        with closing(_fresh_connection()) as fresh, fresh.cursor() as cursor:
            cursor.execute(
                f'SELECT EXISTS (SELECT FROM "{table}" WHERE stage = %s)',  # noqa: S608
                [ModelVersion.Stage.PRODUCTION.value],
            )
            [is_ready] = cursor.fetchone() or [False]
        text = "ok" if is_ready else "no model version is in production"
    except psycopg2.Error as error:
        logger.warning("Not ready: the database does not answer: %s", error)
        is_ready, text = False, "the database does not answer"
    return HttpResponse(f"{text}\n", status=200 if is_ready else 503, content_type="text/plain")


class DbConnexView(PublicView):
    """Returns whether the database answers, and in how many milliseconds."""

    @extend_schema(
        operation_id="checkDatabase",
        summary="Whether the database answers",
        auth=[],
        responses={
            200: DbConnexSerializer,
            503: OpenApiResponse(DbConnexSerializer, description="The database does not answer."),
        },
    )
    def get(self, request: Request) -> Response:
        started = time.perf_counter()
        try:
            with closing(_fresh_connection()) as fresh, fresh.cursor() as cursor:
                cursor.execute("SELECT 1")
        except psycopg2.Error as error:
            logger.warning("The database does not answer: %s", error)
            return Response({"connected": False}, status=503)
        return Response(
            {"connected": True, "latency_ms": round((time.perf_counter() - started) * 1000, 2)}
        )
