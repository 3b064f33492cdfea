"""API of training runs: start a training, fine-tuning or search, follow it and cancel it."""

from typing import Any, cast

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.idempotency import IDEMPOTENCY_KEY, create_once
from accounts.models import User
from common.api import error_response
from mlmodels.api.errors import no_such_version
from mlmodels.models import ModelVersion, TrainingRun
from mlmodels.run_services import RunEnded, run_cancel
from mlmodels.selectors import training_runs, version_in_stage
from supervision.datasets.composition import training_composition
from supervision.datasets.selectors import TooFewPhotos
from supervision.trainings.api.serializers import (
    FinetuneRequest,
    NextCompositionSerializer,
    RunSerializer,
    SearchRequest,
    TrainRequest,
)
from supervision.trainings.services import LabelsDiffer, run_request

Kind = TrainingRun.Kind


class Conflict(APIException):
    """The request cannot be carried out in the current state."""

    status_code = status.HTTP_409_CONFLICT


QUEUED = OpenApiResponse(RunSerializer, description="Queued; follow the run at `Location`.")
KEY_REUSED = error_response(["idempotency_key_reused"])
REFUSED = error_response(["too_few_photos"])


@extend_schema_view(
    list=extend_schema(operation_id="listRuns", summary="Training runs, newest first"),
    retrieve=extend_schema(operation_id="getRun", summary="One training run"),
)
class RunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    serializer_class = RunSerializer
    permission_classes = [IsAdminUser]
    lookup_value_regex = "[0-9]{1,18}"
    queryset = TrainingRun.objects.none()

    def get_queryset(self) -> QuerySet[TrainingRun]:
        return training_runs()

    @extend_schema(
        operation_id="train",
        summary="Train a new version from ImageNet's weights",
        parameters=[IDEMPOTENCY_KEY],
        request=TrainRequest,
        responses={202: QUEUED, 409: REFUSED, 422: KEY_REUSED},
    )
    def train(self, request: Request) -> Response:
        return self._queue(request, Kind.TRAIN, self._validated(TrainRequest, request))

    @extend_schema(
        operation_id="finetune",
        summary="Continue to train a version on the current photos",
        parameters=[IDEMPOTENCY_KEY],
        request=FinetuneRequest,
        responses={
            202: QUEUED,
            409: error_response(["too_few_photos", "labels_differ"]),
            422: KEY_REUSED,
        },
    )
    def finetune(self, request: Request) -> Response:
        parameters = self._validated(FinetuneRequest, request)
        name, stage = parameters.pop("model_name"), parameters.pop("stage")
        parent = version_in_stage(name=name, stage=stage)
        if parent is None:
            raise no_such_version(name, stage)
        return self._queue(request, Kind.FINETUNE, parameters, parent)

    @extend_schema(
        operation_id="search",
        summary="Search for better hyper-parameters and train a version with the best",
        parameters=[IDEMPOTENCY_KEY],
        request=SearchRequest,
        responses={202: QUEUED, 409: REFUSED, 422: KEY_REUSED},
    )
    def search(self, request: Request) -> Response:
        return self._queue(request, Kind.SEARCH, self._validated(SearchRequest, request))

    @extend_schema(
        operation_id="getNextComposition",
        summary="The photos that a training would have if it began now",
        responses={200: NextCompositionSerializer, 409: REFUSED},
    )
    @action(detail=False, methods=["get"], pagination_class=None, filter_backends=[])
    def composition(self, request: Request) -> Response:
        try:
            composition = training_composition()
        except TooFewPhotos as error:
            raise Conflict(str(error), code="too_few_photos") from error
        return Response(NextCompositionSerializer(composition).data)

    @extend_schema(
        operation_id="cancelRun",
        summary="Cancel a queued or running run",
        request=None,
        responses={
            200: RunSerializer,
            409: error_response(["run_ended"]),
        },
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        try:
            run_cancel(run=self.get_object())
        except RunEnded as error:
            raise Conflict(str(error), code="run_ended") from error
        return Response(self.get_serializer(self.get_object()).data)

    def _validated(
        self, serializer_class: type[serializers.Serializer], request: Request
    ) -> dict[str, Any]:
        serializer = serializer_class(data=request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def _queue(
        self,
        request: Request,
        kind: TrainingRun.Kind,
        parameters: dict[str, Any],
        parent: ModelVersion | None = None,
    ) -> Response:
        try:
            [run] = create_once(
                request,
                create=lambda: [
                    run_request(
                        kind=kind,
                        parameters=parameters,
                        requested_by=cast(User, request.user),
                        parent=parent,
                    )
                ],
                rows=training_runs(),
            )
        except TooFewPhotos as error:
            raise Conflict(str(error), code="too_few_photos") from error
        except LabelsDiffer as error:
            raise Conflict(str(error), code="labels_differ") from error
        return Response(
            self.get_serializer(run).data,
            status=status.HTTP_202_ACCEPTED,
            headers={"Location": reverse("run-detail", args=[run.pk])},
        )
