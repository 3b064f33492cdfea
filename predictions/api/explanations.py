"""Where on the photo of a prediction the evidence for a species is."""

import time
from typing import Any, cast

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import renderers, serializers
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request

from accounts.api.throttling import ExplanationThrottle
from accounts.models import User
from common.api import error_response
from common.messages import Message
from common.prefer import PREFER, wait_preferred
from mlmodels.names import MAX_NAME_LENGTH
from predictions.answer_services import PredictionDeleted, prediction_wait
from predictions.api.filters import stored_name
from predictions.api.photos import ErrorsAsJson, PhotoReserved
from predictions.api.waiting import waiting_places
from predictions.explanations import Explanation, VersionNotStored, explanation_wait
from predictions.models import Inference, Prediction
from predictions.selectors import predictions_shown_to

EXAMPLE: dict[str, Any] = {
    "species": "Aleuria aurantia",
    "against": None,
    "method": "shapley-maps-1",
    "width": 640,
    "height": 480,
    "values": [[-0.12, 0.08, -0.03], [0.31, 2.14, 0.47], [-0.22, 0.16, 0.05]],
}


class ExplanationNotReady(APIException):
    """The prediction is still pending, or the inference worker has not made the explanation."""

    status_code = 503
    default_code = "explanation_not_ready"
    default_detail = _("The explanation is still being made. Ask again in a few seconds.")
    wait = 5  # becomes the header Retry-After


class VersionFilesMissing(APIException):
    """The version that answered can compute nothing any more."""

    status_code = 409
    default_code = "version_not_stored"


class PngRenderer(renderers.BaseRenderer):
    """Lets clients ask for image/png. Errors are JSON all the same."""

    media_type = "image/png"
    format = "json"  # the same as JSON's: there is no `?format=` to choose by


class ExplanationQuery(serializers.Serializer):
    species = serializers.CharField(
        required=False,
        max_length=MAX_NAME_LENGTH,
        help_text="Any name of the species that is explained; the one with the highest score if "
        "it is left out.",
    )
    against = serializers.CharField(
        required=False,
        max_length=MAX_NAME_LENGTH,
        help_text="Any name of the species that it is compared with; all others together if it is "
        "left out.",
    )

    def validate_species(self, name: str) -> str:
        return stored_name(name)

    def validate_against(self, name: str) -> str:
        return stored_name(name)


class ExplanationSerializer(serializers.Serializer):
    species = serializers.CharField()
    against = serializers.CharField(allow_null=True)
    method = serializers.CharField(help_text="Values of different methods are not comparable.")
    width = serializers.IntegerField(help_text="Of the picture, in pixels.")
    height = serializers.IntegerField()
    values = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()),
        help_text="Rows from the top, each from the left, of equal cells that cover the whole "
        "photo. Each value is what the cell adds to the natural logarithm of the species' odds: "
        "positive for the species, negative against it.",
    )


class ExplanationView(ErrorsAsJson):
    renderer_classes = [PngRenderer, renderers.JSONRenderer]
    throttle_classes = [ExplanationThrottle]

    @extend_schema(
        operation_id="explainPrediction",
        summary="Show where on the photo the evidence for a species is",
        description="A PNG of the photo: orange speaks for the species, blue against it (or for "
        "`against`). With `Accept: application/json`, the numbers behind it.",
        parameters=[ExplanationQuery, PREFER],
        responses={
            (200, "image/png"): OpenApiResponse(OpenApiTypes.BINARY, description="The picture."),
            (200, "application/json"): ExplanationSerializer,
            409: error_response(["version_not_stored"]),
            503: error_response(
                ["explanation_not_ready", "storage_unavailable", "database_unavailable"]
            ),
        },
        examples=[
            OpenApiExample(
                "Numbers",
                value=EXAMPLE,
                response_only=True,
                status_codes=["200"],
                media_type="application/json",
            )
        ],
    )
    def get(self, request: Request, id: str) -> HttpResponse:
        query = ExplanationQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        user = cast(User, request.user)
        prediction = predictions_shown_to(user).filter(pk=id).first()
        if prediction is None:
            raise NotFound
        is_png = cast(Any, request.accepted_renderer).media_type == PngRenderer.media_type
        deadline = time.monotonic() + wait_preferred(request.headers.get("Prefer", ""))
        with waiting_places.taken_by(user.pk) as may_wait:
            if not may_wait:
                deadline = time.monotonic()
            inference = _answer(prediction, deadline)
            if is_png and inference.photo.is_reserved:
                raise PhotoReserved
            explanation = _explanation(inference, **query.validated_data)
            try:
                data = explanation_wait(
                    explanation=explanation,
                    suffix=".png" if is_png else ".json",
                    timeout_s=deadline - time.monotonic(),
                )
            except VersionNotStored as error:
                raise VersionFilesMissing(str(error)) from error
        if data is None:
            raise ExplanationNotReady
        return HttpResponse(data, content_type="image/png" if is_png else "application/json")


def _answer(prediction: Prediction, deadline: float) -> Inference:
    """Return the prediction's answer, waiting for it until `deadline` (`time.monotonic`)."""
    number = prediction.pk
    try:
        prediction = prediction_wait(
            prediction=prediction, timeout_s=max(deadline - time.monotonic(), 0)
        )
    except PredictionDeleted as deleted:
        raise NotFound(Message("Prediction %(id)d was deleted.", id=number)) from deleted
    if prediction.status == Prediction.Status.FAILED:
        raise NotFound(
            Message(
                "Prediction %(id)d has failed, so there is no answer to explain: %(reason)s",
                id=number,
                reason=prediction.error_detail,
            )
        )
    if prediction.inference is None:
        raise ExplanationNotReady
    if not prediction.inference.photo.file:
        raise NotFound(Message("The photo of prediction %(id)d is no longer stored.", id=number))
    return prediction.inference


def _explanation(
    inference: Inference, species: str | None = None, against: str | None = None
) -> Explanation:
    """Return which explanation is meant; raise ValidationError for a species it can't be of."""
    species = species or inference.best_species
    version = inference.model_version
    for parameter, name in (("species", species), ("against", against)):
        if name is not None and name not in version.labels:
            detail = Message(
                "%(version)s, which gave this answer, does not know %(species)s.",
                version=version,
                species=name,
            )
            raise serializers.ValidationError({parameter: detail})
    if species == against:
        detail = Message(
            "%(species)s can't be compared with itself: name another species.", species=species
        )
        raise serializers.ValidationError({"against": detail})
    return Explanation(inference, species, against)
