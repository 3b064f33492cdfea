"""`/status` and `/dbconnex`: they answer when PostgreSQL does not."""

import logging
import time
from contextlib import closing
from typing import Any

import psycopg2
import psycopg2.extensions
from django.conf import settings
from django.db import connection
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mlmodels.models import ModelVersion

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 2


def _fresh_connection() -> psycopg2.extensions.connection:
    """Open a connection of our own, which gives up after CONNECT_TIMEOUT_S seconds.

    One that Django keeps could hang for as long as the server does.
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
    """A view for everybody, whatever token is sent along."""

    authentication_classes: list = []
    permission_classes: list = []


class StatusView(PublicView):
    """The last model that was seen in production is told on while the database is away."""

    last_model: dict[str, Any] | None = None

    @extend_schema(
        summary="Whether ChampiPy is up, and its model", auth=[], responses=StatusSerializer
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
            logger.warning("The model in production could not be read: %s", error)
        return Response(
            {"status": "ok", "version": settings.VERSION, "model": StatusView.last_model}
        )


class DbConnexView(PublicView):
    @extend_schema(
        summary="Whether the database answers",
        auth=[],
        responses={
            200: DbConnexSerializer,
            503: OpenApiResponse(DbConnexSerializer, description="It does not."),
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
