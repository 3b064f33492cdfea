import hashlib
import json
from typing import Any

from django.utils.cache import get_conditional_response
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from common.api import error_response
from common.openapi import CODES
from mlmodels.models import SpeciesName
from mlmodels.selectors import production_version
from mlmodels.species_selectors import names_of_species


class NameSerializer(serializers.Serializer):
    name = serializers.CharField()
    kind = serializers.ChoiceField(SpeciesName.Kind.choices)


class SpeciesSerializer(serializers.Serializer):
    name = serializers.CharField(help_text="As in the answers to predictions.")
    names = NameSerializer(many=True, help_text="The accepted one first.")


class KnownModelSerializer(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.IntegerField()


class SpeciesListSerializer(serializers.Serializer):
    results = SpeciesSerializer(many=True)
    model = KnownModelSerializer(allow_null=True, help_text="Null: no version is in production.")


class SpeciesView(APIView):
    """What the model in production knows; open to everybody, like `/status`."""

    authentication_classes: list = []
    permission_classes: list = []

    @extend_schema(
        operation_id="listSpecies",
        summary="The species that the model in production knows, with all their names",
        auth=[],
        parameters=[
            OpenApiParameter(
                "If-None-Match", str, OpenApiParameter.HEADER, description="The last `ETag`."
            )
        ],
        responses={
            200: SpeciesListSerializer,
            304: OpenApiResponse(
                description="Nothing has changed since the answer of that `ETag`."
            ),
            503: error_response(CODES["503"]),
        },
    )
    def get(self, request: Request) -> Any:
        version = production_version()
        names = names_of_species(version.labels) if version else {}
        body = {
            "results": [
                {"name": label, "names": [{"name": name, "kind": kind} for name, kind in pairs]}
                for label, pairs in names.items()
            ],
            "model": version and {"name": version.name, "version": version.version},
        }
        etag = f'"{hashlib.sha256(json.dumps(body).encode()).hexdigest()[:32]}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache"}
        unchanged = get_conditional_response(request._request, etag=etag)
        return unchanged or Response(body, headers=headers)
