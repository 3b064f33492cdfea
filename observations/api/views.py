"""The API of observations."""

from collections.abc import Callable
from typing import Any, cast

from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)
from rest_framework import mixins, renderers, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, NotFound
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.idempotency import IDEMPOTENCY_KEY, create_once
from accounts.api.throttling import PredictionThrottle
from accounts.models import User
from common.api import JSONParser, error_response
from common.messages import Message, Text
from common.paging import CursorPages, after_cursor
from common.prefer import PREFER, wait_preferred
from common.uploads import MAX_OBSERVATION_BYTES
from mlmodels.selectors import production_version
from observations.api.filters import ObservationFilters, filtered
from observations.api.serializers import (
    DecisionRequest,
    ObservationForm,
    ObservationJsonRequest,
    ObservationSerializer,
    ObservationUploadRequest,
)
from observations.api.site_forms import MushroomObserverRequest
from observations.api.spreadsheets import CsvRenderer, csv_of
from observations.errors import ALL_FAILURES, FAILURES
from observations.models import Observation
from observations.mushroom_observer.transport import site_retry_after_s
from observations.mushroom_observer_services import observation_ask
from observations.queue.leases import queue_next, queue_release
from observations.selectors import observations_visible_to, told_observations
from observations.services import (
    observation_create,
    observation_decide,
    observation_delete,
    observation_note,
    observation_wait,
)
from predictions.api.failures import PredictionFailed
from predictions.api.uploads import parsed_body
from predictions.api.usage import RateLimitHeaders
from predictions.api.waiting import waiting_places
from predictions.errors import NotAccepted

NOT_FOUND = error_response(["observation_not_found"])
FORMAT = OpenApiParameter("format", str, enum=["json", "csv"], description="As `Accept` has it.")


class ObservationNotFound(NotFound):
    """There is no such observation, or none that this user may see."""

    default_code = "observation_not_found"
    default_detail = _("There is no such observation among yours.")


class ObservationFailed(APIException):
    """Reports an observation that failed at Mushroom Observer as an error of the API."""

    def __init__(self, code: str, detail: Text) -> None:
        self.status_code = FAILURES[code].status
        if self.status_code == status.HTTP_503_SERVICE_UNAVAILABLE:
            self.wait = site_retry_after_s()  # becomes the header Retry-After
        super().__init__(detail=detail, code=code)


class ObservationTooLarge(APIException):
    """The photos of an observation are larger than all together may be."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "request_too_large"
    default_detail = _("The photos of an observation may have 10 MB each and 60 MB together.")


def _error_responses() -> dict[int, Any]:
    codes: dict[int, list[str]] = {
        404: ["observation_not_found"],
        429: ["throttled"],
        413: ["request_too_large"],
        422: ["idempotency_key_reused"],
        503: ["database_unavailable"],
    }
    for code, failure in ALL_FAILURES.items():
        named = codes.setdefault(failure.status, [])
        if code not in named:
            named.append(code)
    return {status: error_response(names) for status, names in codes.items()}


@extend_schema_view(
    list=extend_schema(
        operation_id="listObservations",
        summary="List your observations (administrators: everybody's), newest first",
        description="As CSV with `Accept: text/csv` or `format=csv`: all of them from `cursor` on, "
        "at most 10,000, and at most 10 MB.",
        parameters=[ObservationFilters, FORMAT],
        responses={
            (200, "application/json"): ObservationSerializer(many=True),
            (200, "text/csv"): OpenApiTypes.STR,
        },
    ),
    retrieve=extend_schema(
        operation_id="getObservation",
        summary="Return an observation",
        responses={200: ObservationSerializer, 404: NOT_FOUND},
    ),
    destroy=extend_schema(
        operation_id="deleteObservation",
        summary="Delete an observation with its predictions, and photos that nothing else needs",
        responses={
            204: OpenApiResponse(description="The observation is deleted."),
            404: NOT_FOUND,
        },
    ),
)
class ObservationViewSet(
    RateLimitHeaders,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet,
):
    serializer_class = ObservationSerializer
    parser_classes = [JSONParser, MultiPartParser, FormParser]
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Observation.objects.none()
    pagination_class = CursorPages
    cost = 1

    def get_queryset(self) -> QuerySet[Observation]:
        visible = observations_visible_to(cast(User, self.request.user))
        return filtered(visible, self.request.query_params) if self.action == "list" else visible

    def get_object(self) -> Observation:
        observation = self.get_queryset().filter(pk=self.kwargs["pk"]).first()
        if observation is None:
            raise ObservationNotFound
        return observation

    def get_renderers(self) -> list:
        return [renderers.JSONRenderer(), *([CsvRenderer()] if self.action == "list" else [])]

    def get_throttles(self) -> list:
        return [PredictionThrottle(self.cost)] if self.action == "create" else []

    @extend_schema(
        operation_id="observe",
        summary="Ask what up to twelve photos of one find show, and whether proposed names fit",
        parameters=[PREFER, IDEMPOTENCY_KEY],
        request={
            "application/json": PolymorphicProxySerializer(
                component_name="ObservationRequest",
                serializers=[ObservationJsonRequest, MushroomObserverRequest],
                resource_type_field_name=None,
            ),
            "multipart/form-data": ObservationUploadRequest,
        },
        responses={
            200: ObservationSerializer,
            202: OpenApiResponse(
                ObservationSerializer, description="Not done yet. Try again at `Location`."
            ),
            **_error_responses(),
        },
    )
    def create(self, request: Request) -> Response:
        if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_OBSERVATION_BYTES:
            raise ObservationTooLarge
        user = cast(User, request.user)
        create = self._creation(request, user)
        try:
            [observation] = create_once(
                request, create=lambda: [create()], rows=Observation.objects.all()
            )
        except NotAccepted as refused:
            raise PredictionFailed(refused.code, refused.detail) from refused
        wait_s = wait_preferred(request.headers.get("Prefer", ""))
        if wait_s and observation.status == Observation.Status.PENDING:
            # If too many requests wait already, answer at once: waiting threads can't serve others.
            with waiting_places.taken_by(user.pk) as may_wait:
                if may_wait:
                    observation_wait(observation=observation, timeout_s=wait_s)
        return self._answer(observation)

    def _creation(self, request: Request, user: User) -> Callable[[], Observation]:
        """Check what was sent, and return what makes an observation of it."""
        body = parsed_body(request)
        if isinstance(body, dict) and "mushroom_observer" in body:
            asked = MushroomObserverRequest(data=body)
            asked.is_valid(raise_exception=True)
            number: int = asked.validated_data["mushroom_observer"]
            return lambda: observation_ask(user=user, number=number)
        is_form = isinstance(body, QueryDict)
        form: type[serializers.Serializer] = ObservationForm if is_form else ObservationJsonRequest
        serializer = form(data=body)
        serializer.is_valid(raise_exception=True)
        fields: dict[str, Any] = serializer.validated_data
        if len(fields["photos"]) > 1:  # one was counted before the body was read
            self.cost = len(fields["photos"]) - 1
            self.check_throttles(request)
        version = production_version()
        return lambda: observation_create(user=user, version=version, **fields)

    @extend_schema(
        operation_id="decideObservation",
        summary="Say what you decided about an observation, or note something",
        request={"application/json": DecisionRequest},
        responses={200: ObservationSerializer, 404: NOT_FOUND},
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        observation = self.get_object()
        serializer = DecisionRequest(data=request.data, context={"observation": observation})
        serializer.is_valid(raise_exception=True)
        said: dict[str, Any] = serializer.validated_data
        try:
            if "decision" in said:
                observation_decide(
                    observation=observation,
                    decision=said["decision"] or "",
                    decision_name=said["decision_name"] or "",
                    by=cast(User, request.user),
                    note=said.get("note"),
                )
            elif "note" in said:
                observation_note(observation=observation, note=said["note"])
        except Observation.DoesNotExist as deleted:
            raise ObservationNotFound from deleted
        return Response(self.get_serializer(observation).data)

    @extend_schema(
        operation_id="nextInQueue",
        summary="Get the next find at Mushroom Observer that is worth a look",
        description="It is yours for 15 minutes: nobody else gets it until then. Decide about it, "
        "or release it. Each call gives another one, at most four at a time, so that the next "
        "three can be loaded ahead; then, and when no other waits, it gives those that you hold in "
        "turn, with a new lease.",
        request=None,
        responses={
            200: ObservationSerializer,
            204: OpenApiResponse(description="Nothing waits."),
        },
    )
    @action(detail=False, methods=["post"], url_path="queue/next", url_name="queue-next")
    def queue_next(self, request: Request) -> Response:
        observation = queue_next(user=cast(User, request.user))
        if observation is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return Response(self.get_serializer(told_observations().get(pk=observation.pk)).data)

    @extend_schema(
        operation_id="releaseObservation",
        summary="Give a find of the queue back: others may get it, you do not get it again",
        request=None,
        responses={
            204: OpenApiResponse(description="It is released."),
            404: NOT_FOUND,
        },
    )
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        try:
            queue_release(observation=self.get_object(), user=cast(User, request.user))
        except Observation.DoesNotExist as not_held:
            raise ObservationNotFound(
                Message(
                    "Observation %(id)s is none that the queue gave to you, or it is decided.",
                    id=pk,
                )
            ) from not_held
        return Response(status=status.HTTP_204_NO_CONTENT)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        if request.accepted_renderer.format == CsvRenderer.format:
            return csv_of(after_cursor(self.get_queryset(), request))
        return super().list(request, *args, **kwargs)

    def perform_destroy(self, instance: Observation) -> None:
        observation_delete(observation=instance)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(response, Response):  # errors, too
            request.accepted_renderer = renderers.JSONRenderer()
            request.accepted_media_type = "application/json"
        return super().finalize_response(request, response, *args, **kwargs)

    def _answer(self, observation: Observation) -> Response:
        told = told_observations().filter(pk=observation.pk).first()
        if told is None:
            raise ObservationNotFound(Message("Observation %(id)d was deleted.", id=observation.pk))
        if told.status == Observation.Status.FAILED and told.error_code in FAILURES:
            raise ObservationFailed(told.error_code, told.error_detail)
        if told.status == Observation.Status.FAILED:
            raise PredictionFailed(told.error_code, told.error_detail)
        body = self.get_serializer(told).data
        if told.status == Observation.Status.DONE:
            return Response(body)
        headers = {"Location": reverse("observation-detail", args=[told.pk]), "Retry-After": "1"}
        return Response(body, status=status.HTTP_202_ACCEPTED, headers=headers)
