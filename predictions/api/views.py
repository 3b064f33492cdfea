from typing import Any, cast

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import (
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework import mixins, status, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.idempotency import IDEMPOTENCY_KEY, create_once
from accounts.api.throttling import PredictionThrottle
from accounts.models import User
from common.api import JSONParser, error_response
from common.messages import Message
from common.paging import CappedPagination
from common.prefer import PREFER, wait_preferred
from common.uploads import MAX_BODY_BYTES
from mlmodels.selectors import production_version
from predictions.answer_services import PredictionDeleted, prediction_wait
from predictions.api.failures import PredictionFailed
from predictions.api.filters import PredictionFilters, filtered, rows_to_search
from predictions.api.schema import species_count
from predictions.api.serializers import (
    PredictionJsonRequest,
    PredictionRequestSerializer,
    PredictionSerializer,
    PredictionUploadRequest,
)
from predictions.api.uploads import parsed_body
from predictions.api.usage import RateLimitHeaders
from predictions.api.waiting import waiting_places
from predictions.deletion_services import prediction_delete
from predictions.errors import FAILURES, NotAccepted
from predictions.models import Prediction
from predictions.selectors import answered_predictions, predictions_visible_to
from predictions.services import prediction_create


def _error_responses() -> dict[int, Any]:
    codes: dict[int, list[str]] = {429: ["throttled"]}
    for code, failure in FAILURES.items():
        codes.setdefault(failure.status, []).append(code)
    codes.setdefault(413, []).append("request_too_large")
    codes.setdefault(422, []).append("idempotency_key_reused")
    codes.setdefault(503, []).append("database_unavailable")
    return {status: error_response(names) for status, names in codes.items()}


@extend_schema_view(
    list=extend_schema(
        operation_id="listPredictions",
        summary="List your predictions (administrators: everybody's), newest first",
        parameters=[PredictionFilters],
    ),
    retrieve=extend_schema(operation_id="getPrediction", summary="Return a prediction"),
    destroy=extend_schema(
        operation_id="deletePrediction",
        summary="Delete a prediction, and its photo where nothing else needs it",
        responses={204: OpenApiResponse(description="The prediction is deleted.")},
    ),
)
class PredictionViewSet(
    RateLimitHeaders,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet,
):
    serializer_class = PredictionSerializer
    parser_classes = [JSONParser, MultiPartParser, FormParser]
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Prediction.objects.none()
    pagination_class = CappedPagination

    def get_queryset(self) -> QuerySet[Prediction]:
        return predictions_visible_to(cast(User, self.request.user))

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        return filtered(queryset, self.request.query_params) if self.action == "list" else queryset

    def rows_to_search(self) -> QuerySet[Prediction] | None:
        """Return the predictions that filters of the list look at one by one, or None."""
        return rows_to_search(self.get_queryset(), self.request.query_params)

    def get_throttles(self) -> list:
        return [PredictionThrottle()] if self.action == "create" else []

    @extend_schema(
        operation_id="predict",
        summary="Predict the species of a photo, sent as a URL or as a file",
        parameters=[PREFER, IDEMPOTENCY_KEY],
        request={
            "application/json": PredictionJsonRequest,
            "multipart/form-data": PredictionUploadRequest,
        },
        responses={
            200: PredictionSerializer,
            202: OpenApiResponse(
                PredictionSerializer, description="Not done yet. Try again at `Location`."
            ),
            **_error_responses(),
        },
    )
    def create(self, request: Request) -> Response:
        if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BODY_BYTES:
            raise PredictionFailed("image_too_large", FAILURES["image_too_large"].detail)
        version = production_version()
        serializer = PredictionRequestSerializer(
            data=parsed_body(request), context={"species_count": species_count(version)}
        )
        serializer.is_valid(raise_exception=True)
        user = cast(User, request.user)
        try:
            [prediction] = create_once(
                request,
                create=lambda: [
                    prediction_create(user=user, version=version, **serializer.validated_data)
                ],
                rows=answered_predictions(),
            )
        except NotAccepted as refused:
            raise PredictionFailed(refused.code, refused.detail) from refused
        wait_s = wait_preferred(request.headers.get("Prefer", ""))
        if wait_s and prediction.status == Prediction.Status.PENDING:
            # If too many requests wait already, answer at once: waiting threads can't serve others.
            with waiting_places.taken_by(user.pk) as may_wait:
                if may_wait:
                    try:
                        prediction = prediction_wait(prediction=prediction, timeout_s=wait_s)
                    except PredictionDeleted as deleted:
                        raise NotFound(
                            Message("Prediction %(id)d was deleted.", id=prediction.pk)
                        ) from deleted
        return self._answer(prediction)

    def perform_destroy(self, instance: Prediction) -> None:
        prediction_delete(prediction=instance)

    def _answer(self, prediction: Prediction) -> Response:
        if prediction.status == Prediction.Status.FAILED:
            raise PredictionFailed(prediction.error_code, prediction.error_detail)
        body = self.get_serializer(prediction).data
        if prediction.status == Prediction.Status.DONE:
            return Response(body)
        location = reverse("prediction-detail", args=[prediction.pk])
        headers = {"Location": location, "Retry-After": "1"}
        return Response(body, status=status.HTTP_202_ACCEPTED, headers=headers)
