"""API of alerts: list them, and acknowledge one."""

from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from predictions.api.serializers import ModelNameSerializer
from supervision.models import Alert
from supervision.monitoring.alert_services import alert_acknowledge
from supervision.monitoring.alert_texts import alert_advice, alert_summary
from supervision.monitoring.selectors import alerts_listed


class AlertSerializer(serializers.ModelSerializer):
    kind = serializers.CharField(
        help_text=", ".join(f"`{kind}`" for kind in Alert.Kind.values), read_only=True
    )
    status = serializers.CharField(help_text="`open`, `acknowledged`, `resolved`.", read_only=True)
    model = serializers.SerializerMethodField()
    message = serializers.SerializerMethodField(help_text="What happened.")
    advice = serializers.SerializerMethodField(help_text="What to do now.")
    acknowledged_by = serializers.CharField(
        source="acknowledged_by.username", allow_null=True, default=None, read_only=True
    )

    class Meta:
        model = Alert
        fields = (
            "id",
            "kind",
            "status",
            "model",
            "value",
            "threshold",
            "message",
            "detail",
            "advice",
            "run",
            "since",
            "measured_at",
            "acknowledged_by",
            "acknowledged_at",
            "resolved_at",
        )
        read_only_fields = fields

    @extend_schema_field(ModelNameSerializer(allow_null=True))
    def get_model(self, alert: Alert) -> dict[str, Any] | None:
        if alert.model_version is None:
            return None
        return {"name": alert.model_version.name, "version": alert.model_version.version}

    def get_message(self, alert: Alert) -> str:
        return alert_summary(alert)

    def get_advice(self, alert: Alert) -> str:
        return alert_advice(alert)


class AlertViewSet(mixins.ListModelMixin, viewsets.GenericViewSet):
    permission_classes = [IsAdminUser]
    serializer_class = AlertSerializer
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Alert.objects.none()

    def get_queryset(self) -> QuerySet[Alert]:
        return alerts_listed()

    @extend_schema(
        operation_id="listAlerts",
        summary="Alerts: first the open ones, then the acknowledged, then the resolved",
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(
        operation_id="acknowledgeAlert",
        summary="Acknowledge an alert: keep it quiet until it is resolved",
        description="An alert that is already acknowledged or resolved does not change.",
        request=None,
        responses=AlertSerializer,
    )
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        alert_acknowledge(alert=self.get_object(), by=cast(User, request.user))
        return Response(self.get_serializer(self.get_object()).data)
