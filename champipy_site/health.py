"""The endpoints `/status` and `/dbconnex`, which answer even if PostgreSQL does not."""

import logging
import select
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

from common.sessions import is_pooled
from mlmodels.models import ModelVersion

logger = logging.getLogger(__name__)

MAX_ANSWER_S = 2.0


def _ask(query: str, *parameters: str) -> tuple[Any, ...] | None:
    """Return the first row of a query; raise psycopg2.Error if there is none in MAX_ANSWER_S.

    The connection is new: one that Django keeps open could hang as long as the server does. The
    time is measured here, because a pooler takes connections while the server behind it hangs.
    """
    deadline = time.monotonic() + MAX_ANSWER_S
    options = connection.get_connection_params() | {"cursor_factory": None}
    if not is_pooled():
        options["options"] = "-c statement_timeout=500"
    with closing(psycopg2.connect(**options, async_=True)) as fresh:
        _wait(fresh, deadline)
        cursor = fresh.cursor()
        cursor.execute(query, parameters)
        _wait(fresh, deadline)
        return cursor.fetchone()


def _wait(fresh: psycopg2.extensions.connection, deadline: float) -> None:
    """Wait until PostgreSQL has answered; raise psycopg2.Error at the deadline."""
    events = {
        psycopg2.extensions.POLL_READ: select.POLLIN,
        psycopg2.extensions.POLL_WRITE: select.POLLOUT,
    }
    while (state := fresh.poll()) != psycopg2.extensions.POLL_OK:
        poller = select.poll()  # unlike select, it takes numbers of files above 1024
        poller.register(fresh.fileno(), events[state])
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise psycopg2.OperationalError(f"it did not answer within {MAX_ANSWER_S} s")


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
            row = _ask(
                f'SELECT name, version, stage FROM "{table}" WHERE stage = %s',  # noqa: S608
                production,
            )
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
        [is_ready] = _ask(
            f'SELECT EXISTS (SELECT FROM "{table}" WHERE stage = %s)',  # noqa: S608
            ModelVersion.Stage.PRODUCTION.value,
        ) or [False]
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
            _ask("SELECT 1")
        except psycopg2.Error as error:
            logger.warning("The database does not answer: %s", error)
            return Response({"connected": False}, status=503)
        return Response(
            {"connected": True, "latency_ms": round((time.perf_counter() - started) * 1000, 2)}
        )
