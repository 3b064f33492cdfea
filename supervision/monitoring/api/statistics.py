"""API of statistics: the model's accuracy, the mean of recent scores, and new photos."""

import threading
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from common.api import WholeNumberField, error_response
from common.messages import Message
from common.prefer import PREFER, wait_preferred
from mlmodels.api.errors import no_such_version
from mlmodels.models import ModelVersion
from mlmodels.selectors import production_version, version_in_stage
from predictions.api.serializers import ModelNameSerializer
from predictions.errors import FAILURES
from supervision.datasets.selectors import evaluation_set_sha256
from supervision.evaluations.on_demand import EvaluationProgress, evaluation_wait
from supervision.evaluations.selectors import stored_evaluation
from supervision.models import Evaluation
from supervision.monitoring.selectors import mean_best_score, new_photo_count, stage_since

MAX_PREDICTIONS = 1000
RETRY_AFTER_S = 5
_wait_slots = threading.BoundedSemaphore(4)
"""Limits how many requests wait for an evaluation: web needs its other threads for predictions."""


class NoActiveModel(APIException):
    status_code = FAILURES["no_active_model"].status
    default_code = "no_active_model"
    default_detail = FAILURES["no_active_model"].detail


class EvaluationFailed(APIException):
    """A worker could not evaluate the model, or no worker could be reached."""

    status_code = 503
    default_code = "evaluation_failed"


class SpeciesAccuracySerializer(serializers.Serializer):
    species = serializers.CharField()
    n = serializers.IntegerField(help_text="Evaluation photos of this species.")
    accuracy = serializers.FloatField(allow_null=True, help_text="Percent; null without photos.")


class ModelAccuracySerializer(serializers.Serializer):
    """Percentages with two decimals."""

    accuracy = serializers.FloatField()
    ci95 = serializers.ListField(
        child=serializers.FloatField(),
        min_length=2,
        max_length=2,
        help_text="Wilson's 95 % interval of the accuracy.",
    )
    n = serializers.IntegerField()
    target = serializers.FloatField()
    meets_target = serializers.BooleanField()
    model = ModelNameSerializer()
    evaluation_set = serializers.CharField(help_text="The SHA-256 that identifies the set.")
    per_species = SpeciesAccuracySerializer(many=True)
    evaluated_at = serializers.DateTimeField(
        allow_null=True, help_text="Null for `at_training`: the model card does not record it."
    )
    measured = serializers.ChoiceField(
        ["here", "at_training"],
        help_text="`here`: on the current evaluation set; `at_training`: from the model card.",
    )


class EvaluatingSerializer(serializers.Serializer):
    status = serializers.CharField(help_text="`evaluating`.")
    done = serializers.IntegerField(help_text="Photos scored so far.")
    total = serializers.IntegerField()


def _percent(share: float) -> float:
    return round(100 * share, 2)


class AccuracyView(APIView):
    permission_classes = [IsAdminUser]

    @extend_schema(
        operation_id="getAccuracy",
        summary="Accuracy of the model in production on the evaluation photos",
        parameters=[PREFER],
        responses={
            200: ModelAccuracySerializer,
            202: OpenApiResponse(
                EvaluatingSerializer,
                description="A worker evaluates the model: ask again at `Location`.",
            ),
            404: error_response(["no_evaluation_set"]),
            503: error_response(["no_active_model", "evaluation_failed"]),
        },
    )
    def get(self, request: Request) -> Response:
        version = production_version()
        if version is None:
            raise NoActiveModel
        identity = evaluation_set_sha256(version.labels)
        if identity is None:
            return Response(self._at_training(version))
        set_sha256, photo_count = identity
        evaluation = stored_evaluation(version, set_sha256)
        if evaluation is not None:
            return Response(self._here(version, evaluation))
        wait_s = wait_preferred(request.headers.get("Prefer", ""))
        is_waiting = bool(wait_s) and _wait_slots.acquire(blocking=False)
        try:
            progress = evaluation_wait(version=version, timeout_s=wait_s if is_waiting else 0)
        finally:
            if is_waiting:
                _wait_slots.release()
        evaluation = stored_evaluation(version, set_sha256)
        if evaluation is None:
            return self._evaluating(progress or EvaluationProgress(done=0, total=photo_count))
        return Response(self._here(version, evaluation))

    def _evaluating(self, progress: EvaluationProgress) -> Response:
        if progress.error:
            raise EvaluationFailed(progress.error)
        headers = {"Location": reverse("accuracy"), "Retry-After": str(RETRY_AFTER_S)}
        body = {"status": "evaluating", "done": progress.done, "total": progress.total}
        return Response(body, status=202, headers=headers)

    def _here(self, version: ModelVersion, evaluation: Evaluation) -> dict[str, Any]:
        answer = self._answer(version, evaluation.metrics)
        return answer | {"evaluated_at": evaluation.evaluated_at, "measured": "here"}

    def _at_training(self, version: ModelVersion) -> dict[str, Any]:
        metrics = version.metrics.get("evaluation")
        if metrics is None:
            raise NotFound(
                Message(
                    "There are no evaluation photos, and %(version)s was not evaluated when it was "
                    "made. Import some: ./champipy import_photos DIR --split evaluation",
                    version=version,
                ),
                code="no_evaluation_set",
            )
        answer = self._answer(version, metrics)
        return answer | {"evaluated_at": None, "measured": "at_training"}

    def _answer(self, version: ModelVersion, metrics: dict[str, Any]) -> dict[str, Any]:
        """Return the answer's figures, in percent, from `metrics`, which has shares from 0 to 1."""
        accuracy, target = _percent(metrics["accuracy"]), settings.CHAMPIPY_TARGET_ACCURACY
        return {
            "accuracy": accuracy,
            "ci95": [_percent(bound) for bound in metrics["ci95"]],
            "n": metrics["n"],
            "target": target,
            "meets_target": accuracy >= target,
            "model": {"name": version.name, "version": version.version},
            "evaluation_set": metrics["evaluation_set"],
            "per_species": [
                {
                    "species": each["species"],
                    "n": each["n"],
                    "accuracy": None if each["accuracy"] is None else _percent(each["accuracy"]),
                }
                for each in metrics["per_species"]
            ],
        }


class LastPredictionsQuery(serializers.Serializer):
    nb_last_preds = WholeNumberField(
        default=10,
        min_value=1,
        max_value=MAX_PREDICTIONS,
        help_text=f"How many of the last answered predictions to average: 1 to {MAX_PREDICTIONS}.",
    )


class MeanScoreSerializer(serializers.Serializer):
    mean_score = serializers.FloatField(
        allow_null=True, help_text="Percent; null if no prediction has been answered yet."
    )
    requested = serializers.IntegerField()
    counted = serializers.IntegerField(help_text="Predictions averaged, at most `requested`.")
    detail = serializers.CharField(required=False, help_text="Only without a mean: the reason.")


class LastPredictionsView(APIView):
    permission_classes = [IsAdminUser]

    @extend_schema(
        operation_id="getMeanScore",
        summary="Mean best score of the last predictions of all users",
        parameters=[LastPredictionsQuery],
        responses=MeanScoreSerializer,
    )
    def get(self, request: Request) -> Response:
        query = LastPredictionsQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        requested = query.validated_data["nb_last_preds"]
        mean, counted = mean_best_score(requested)
        body = {"mean_score": mean, "requested": requested, "counted": counted}
        if not counted:
            body["detail"] = gettext("No prediction has been answered yet, so there is no mean.")
        return Response(body)


class NewPhotosQuery(serializers.Serializer):
    model_name = serializers.CharField(
        default="VGG16", max_length=50, help_text="The name of the version."
    )
    stage = serializers.CharField(
        default=ModelVersion.Stage.PRODUCTION,
        max_length=20,
        help_text="None, Staging, Production or Archived; its newest version counts.",
    )


class VersionSerializer(ModelNameSerializer):
    stage = serializers.CharField()


class NewPhotosSerializer(serializers.Serializer):
    nb_new_img = serializers.IntegerField(
        help_text="Training photos since then, without those of other species."
    )
    since = serializers.DateTimeField(help_text="When the version entered its stage.")
    model = VersionSerializer()
    target = serializers.IntegerField(help_text="New photos at which a training is due.")


class NewPhotosView(APIView):
    permission_classes = [IsAdminUser]

    @extend_schema(
        operation_id="countNewPhotos",
        summary="Number of training photos added since a version entered its stage",
        parameters=[NewPhotosQuery],
        responses={
            200: NewPhotosSerializer,
            404: error_response(["not_found"]),
        },
    )
    def get(self, request: Request) -> Response:
        query = NewPhotosQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        name, stage = query.validated_data["model_name"], query.validated_data["stage"]
        version = version_in_stage(name=name, stage=stage)
        if version is None:
            raise no_such_version(name, stage)
        since = stage_since(version)
        return Response(
            {
                "nb_new_img": new_photo_count(since),
                "since": since,
                "model": {"name": version.name, "version": version.version, "stage": stage},
                "target": settings.CHAMPIPY_NEW_PHOTOS,
            }
        )
