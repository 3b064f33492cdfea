"""`POST /predictions/batch`: predictions of many URLs with one request."""

from typing import Any, cast

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.idempotency import IDEMPOTENCY_KEY, create_once
from accounts.api.throttling import PredictionThrottle
from accounts.models import User
from common.api import error_response
from mlmodels.selectors import production_version
from predictions.api.failures import PredictionFailed
from predictions.api.schema import species_count
from predictions.api.serializers import NbPredsSerializer, PredictionSerializer, UrlField
from predictions.api.usage import RateLimitHeaders
from predictions.errors import NotAccepted
from predictions.selectors import answered_predictions
from predictions.services import predictions_create

MAX_FILES = 100


class PredictionBatchRequest(NbPredsSerializer):
    """The URLs of 1 to MAX_FILES photos."""

    files = serializers.ListField(
        child=UrlField(),
        allow_empty=False,
        max_length=MAX_FILES,
        help_text="The photos' http or https URLs.",
    )


class BatchSerializer(serializers.Serializer):
    results = PredictionSerializer(many=True)


class BatchView(RateLimitHeaders, APIView):
    cost = 1

    def get_throttles(self) -> list:
        return [PredictionThrottle(self.cost)]

    @extend_schema(
        operation_id="predictBatch",
        summary="Predict the species of up to 100 photos, sent as URLs",
        parameters=[IDEMPOTENCY_KEY],
        request=PredictionBatchRequest,
        responses={
            202: OpenApiResponse(
                BatchSerializer,
                description="The predictions in the order of `files`; most are pending.",
            ),
            422: error_response(["idempotency_key_reused"]),
            429: error_response(["throttled", "quota_exceeded"]),
            507: error_response(["storage_full"]),
        },
    )
    def post(self, request: Request) -> Response:
        version = production_version()
        serializer = PredictionBatchRequest(
            data=request.data, context={"species_count": species_count(version)}
        )
        serializer.is_valid(raise_exception=True)
        fields: dict[str, Any] = serializer.validated_data
        if len(fields["files"]) > 1:  # one was counted before the body was read
            self.cost = len(fields["files"]) - 1
            self.check_throttles(request)
        user = cast(User, request.user)
        try:
            predictions = create_once(
                request,
                create=lambda: predictions_create(user=user, version=version, **fields),
                rows=answered_predictions(),
            )
        except NotAccepted as refused:
            raise PredictionFailed(refused.code, refused.detail) from refused
        body = BatchSerializer({"results": predictions}).data
        return Response(body, status=status.HTTP_202_ACCEPTED)
