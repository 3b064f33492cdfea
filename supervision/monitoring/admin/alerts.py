"""Admin pages of alerts: the list, acknowledging alerts, and starting the checks."""

from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from common.admin import ReadOnlyAdmin
from supervision.models import Alert, AlertMessage, Check
from supervision.monitoring.alert_services import alert_acknowledge
from supervision.monitoring.alert_texts import alert_advice, alert_summary
from supervision.monitoring.check_services import check_request
from supervision.monitoring.selectors import ALERT_ORDER, alerts_listed, channels_configured


class MessageInline(admin.TabularInline):
    model = AlertMessage
    verbose_name_plural = _("messages to administrators")
    fields = readonly_fields = ("channel", "sent_at", "attempts", "next_attempt_at", "error")
    can_delete = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # for everyone who may see the alert

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    change_list_template = "admin/supervision/alert_list.html"
    list_display = ("summary", "status", "since", "measured_at", "acknowledged_by", "resolved_at")
    list_filter = ("status", "kind")
    actions = ("acknowledge_selected",)
    inlines = (MessageInline,)
    fields = (
        "summary",
        "detail",
        "advice",
        "status",
        "model_version",
        "run",
        "since",
        "measured_at",
        "acknowledged_by",
        "acknowledged_at",
        "resolved_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        return alerts_listed()

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ALERT_ORDER  # Django puts the model's own order in place of none

    @admin.display(description=_("what happened"))
    def summary(self, alert: Alert) -> str:
        return alert_summary(alert)

    @admin.display(description=_("what to do"))
    def advice(self, alert: Alert) -> str:
        advice = alert_advice(alert)
        if alert.kind != Alert.Kind.BETTER_VERSION or alert.model_version_id is None:
            return advice
        page = reverse("admin:mlmodels_modelversion_promote", args=[alert.model_version_id])
        return format_html('{} <a href="{}">{}</a>', advice, page, gettext("Compare…"))

    @admin.action(description=_("Acknowledge: keep quiet until resolved"))
    def acknowledge_selected(self, request: HttpRequest, alerts: QuerySet[Alert]) -> None:
        for alert in alerts:
            alert_acknowledge(alert=alert, by=cast(User, request.user))
        messages.success(request, gettext("The alerts stay quiet until they are resolved."))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"checks": Check.objects.order_by("kind"), "channels": channels_configured()}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("check/", wrap(self.check_now), name="supervision_alert_check"),
            path("<int:pk>/acknowledge/", wrap(self.acknowledge), name="supervision_alert_quiet"),
            *super().get_urls(),
        ]

    def check_now(self, request: HttpRequest) -> HttpResponse:
        """Send all checks to a worker."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self._check_may_see(request)
        unsent = [kind for kind in Check.Kind if not check_request(kind=kind)]
        if len(unsent) < len(Check.Kind):
            messages.success(
                request,
                gettext(
                    "A worker checks now. Reload this page to see the result; if the model has to "
                    "be measured first, that takes half a minute."
                ),
            )
        for kind in unsent:
            messages.error(
                request,
                gettext(
                    "The check of %(kind)s was not sent: the broker does not answer. Run "
                    "./champipy status."
                )
                % {"kind": kind.label},
            )
        return redirect("admin:supervision_alert_changelist")

    def acknowledge(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Acknowledge one alert, for the button in the banner."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self._check_may_see(request)
        alert_acknowledge(alert=get_object_or_404(Alert, pk=pk), by=cast(User, request.user))
        return redirect("admin:supervision_alert_changelist")

    def _check_may_see(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied
