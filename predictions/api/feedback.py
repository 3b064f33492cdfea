"""What a user says about the answer of a prediction."""

from typing import Any, cast

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.idempotency import IDEMPOTENCY_KEY, create_once
from accounts.models import User
from common.api import error_response
from mlmodels.names import MAX_NAME_LENGTH
from predictions.api.serializers import checked_name
from predictions.feedback_services import NotAnswered, feedback_give
from predictions.models import Feedback, Prediction
from predictions.selectors import predictions_visible_to


class PredictionNotDone(APIException):
    """There is no answer yet, or none at all."""

    status_code = 409
    default_code = "prediction_not_done"
    default_detail = _("The prediction is pending or has failed: there is no answer to judge.")


class FeedbackRequest(serializers.Serializer):
    species = serializers.CharField(
        allow_null=True,
        max_length=MAX_NAME_LENGTH,
        help_text="Any name of what the photo shows; null: none of the species that you know.",
    )
    comment = serializers.CharField(default="", allow_blank=True, max_length=2000)

    def validate_species(self, name: str | None) -> str | None:
        return checked_name(name)


class FeedbackSerializer(serializers.ModelSerializer):
    prediction = serializers.IntegerField(source="prediction_id")
    species = serializers.SerializerMethodField(
        help_text="The species of the name; null if it is none that is known."
    )
    name = serializers.SerializerMethodField(help_text="As it was given.")
    is_reviewed = serializers.SerializerMethodField()

    class Meta:
        model = Feedback
        fields = ("prediction", "species", "name", "comment", "created_at", "is_reviewed")
        read_only_fields = fields

    def get_species(self, feedback: Feedback) -> str | None:
        return feedback.species.name if feedback.species else None

    def get_name(self, feedback: Feedback) -> str | None:
        return feedback.name or None

    def get_is_reviewed(self, feedback: Feedback) -> bool:
        return feedback.reviewed_at is not None


class FeedbackView(APIView):
    @extend_schema(
        operation_id="giveFeedback",
        summary="Say what the photo of a prediction shows; an administrator reviews it",
        description="Changes no label by itself. A second one takes the place of your first.",
        parameters=[IDEMPOTENCY_KEY],
        request=FeedbackRequest,
        responses={
            200: FeedbackSerializer,
            409: error_response(["prediction_not_done"]),
            422: error_response(["idempotency_key_reused"]),
        },
    )
    def post(self, request: Request, id: str) -> Response:
        serializer = FeedbackRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        said: dict[str, Any] = serializer.validated_data
        user = cast(User, request.user)
        prediction = predictions_visible_to(user).filter(pk=id).first()
        if prediction is None:
            raise NotFound
        try:
            [feedback] = create_once(
                request,
                create=lambda: [
                    feedback_give(
                        prediction=prediction,
                        user=user,
                        name=said["species"],
                        comment=said["comment"],
                    )
                ],
                rows=Feedback.objects.select_related("species"),
            )
        except NotAnswered as error:
            raise PredictionNotDone from error
        except Prediction.DoesNotExist as error:
            raise NotFound from error
        return Response(FeedbackSerializer(feedback).data)
