"""API of model versions: their list, promotion and rollback."""

from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from common.api import WholeNumberField, error_response
from mlmodels.models import ModelVersion
from mlmodels.selectors import production_version
from supervision.evaluations.promotion import (
    PromotionRefused,
    production_changed,
    promotion_request,
    rollback_request,
)
from supervision.evaluations.selectors import present_evaluations

REFUSALS = ("being_measured", "gate_failed", "nothing_to_roll_back_to", "production_changed")


class NotPromoted(APIException):
    """A refused promotion or rollback, as an API error."""

    status_code = 409

    def __init__(self, refused: PromotionRefused) -> None:
        if refused.code == "being_measured":
            self.wait = 2  # DRF sends it as the header Retry-After
        super().__init__(detail=refused.detail, code=refused.code)


class AccuracySerializer(serializers.Serializer):
    """Figures of a version, as shares from 0 to 1; `n` is the number of photos."""

    accuracy = serializers.FloatField()
    ci95 = serializers.ListField(child=serializers.FloatField(), min_length=2, max_length=2)
    n = serializers.IntegerField()
    ece = serializers.FloatField()
    measured = serializers.ChoiceField(
        ["here", "at_training"],
        help_text="On the present evaluation set, or by the version's card.",
    )


class FileSerializer(serializers.Serializer):
    name = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")


class ModelVersionSerializer(serializers.ModelSerializer):
    """A model version with its figures."""

    # The context's `evaluations` has the metrics on the present evaluation set, by version id.
    metrics = serializers.SerializerMethodField()
    files = serializers.SerializerMethodField()

    class Meta:
        model = ModelVersion
        fields = (
            "id",
            "name",
            "version",
            "stage",
            "labels",
            "metrics",
            "files",
            "parent",
            "run",
            "created_at",
        )
        read_only_fields = fields
        extra_kwargs = {"labels": {"help_text": "Species, in the order of the outputs."}}

    @extend_schema_field(AccuracySerializer(allow_null=True))
    def get_metrics(self, version: ModelVersion) -> dict[str, Any] | None:
        here = self.context["evaluations"].get(version.pk)
        metrics = here or version.metrics.get("evaluation")
        if metrics is None:
            return None
        summary = {name: metrics[name] for name in ("accuracy", "ci95", "n", "ece")}
        return {**summary, "measured": "here" if here else "at_training"}

    @extend_schema_field(FileSerializer(many=True))
    def get_files(self, version: ModelVersion) -> list[dict[str, Any]]:
        return [{"name": name, "size": file["size"]} for name, file in version.files.items()]


class PromotionRequestSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=2000, help_text="Why; the history keeps it.")
    override = serializers.BooleanField(
        default=False, help_text="Promote although the gate refuses; this is recorded."
    )


class RollbackRequestSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=2000, default="", allow_blank=True)
    leaving = WholeNumberField(
        min_value=1,
        required=False,
        help_text="Id of the version that you saw in production. If it is another one, nothing "
        "changes, so the same request sent twice rolls back once.",
    )


REFUSED = error_response(REFUSALS)


@extend_schema(tags=["models"])
class ModelViewSet(mixins.ListModelMixin, viewsets.GenericViewSet):
    permission_classes = [IsAdminUser]
    serializer_class = ModelVersionSerializer
    lookup_value_regex = "[0-9]{1,18}"
    queryset = ModelVersion.objects.defer("card").order_by("-id")

    def get_serializer_context(self) -> dict[str, Any]:
        if getattr(self, "swagger_fake_view", False):  # the schema is made without a database
            return dict(super().get_serializer_context())
        versions: QuerySet[ModelVersion] = self.get_queryset()
        evaluations = present_evaluations(versions).values_list("model_version", "metrics")
        return {**super().get_serializer_context(), "evaluations": dict(evaluations)}

    @extend_schema(
        operation_id="listModels", summary="All versions with their metrics, newest first"
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(
        operation_id="promoteModel",
        summary="Put a version into production if the gate allows it",
        description=(
            "The gate compares the version with the one in production on the evaluation photos. "
            "While a worker still measures them, the answer is 409 `being_measured`: try again "
            "after `Retry-After` seconds. A version that is in production already stays there."
        ),
        request=PromotionRequestSerializer,
        responses={200: ModelVersionSerializer, 409: REFUSED},
    )
    @action(detail=True, methods=["post"])
    def promote(self, request: Request, pk: str) -> Response:
        version = self.get_object()
        serializer = PromotionRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            promotion_request(
                version=version, by=cast(User, request.user), **serializer.validated_data
            )
        except PromotionRefused as refused:
            raise NotPromoted(refused) from refused
        version.refresh_from_db()
        return Response(self.get_serializer(version).data)

    @extend_schema(
        operation_id="rollbackModel",
        summary="Put back the version that was in production before",
        description=(
            "A second rollback goes further back; none puts back a version that was rolled back. "
            "With `leaving`, a request that is repeated rolls back only once: the second gets 409 "
            "`production_changed`."
        ),
        request=RollbackRequestSerializer,
        responses={200: ModelVersionSerializer, 409: REFUSED},
    )
    @action(detail=False, methods=["post"])
    def rollback(self, request: Request) -> Response:
        serializer = RollbackRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        current, seen = production_version(), serializer.validated_data.get("leaving")
        try:
            if seen is not None and (current is None or current.pk != seen):
                raise production_changed(current)
            is_done = rollback_request(
                leaving=current,
                by=cast(User, request.user),
                reason=serializer.validated_data["reason"],
            )
            if seen is not None and not is_done:  # changed meanwhile
                raise production_changed(production_version())
        except PromotionRefused as refused:
            raise NotPromoted(refused) from refused
        return Response(self.get_serializer(production_version()).data)
