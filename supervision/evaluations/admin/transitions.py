"""Admin page of the history of versions' stages, and what the gate said then."""

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.admin import ReadOnlyAdmin
from common.messages import Message, message_load
from mlmodels.models import StageTransition
from supervision.evaluations.gate_checks import check_name


def gate_text(transition: StageTransition) -> str:
    """Return the gate's result and its checks as HTML."""
    gate = transition.gate
    if not gate:
        return ""
    if gate.get("rollback"):
        result = (
            _("Rollback; gate overridden") if gate.get("overridden") else _("Rollback; gate passed")
        )
    else:
        result = _("Gate overridden") if gate.get("overridden") else _("Gate passed")
    checks = format_html_join(
        "",
        "<li>{} {}</li>",
        (
            (
                "✓" if check["passed"] else "✗",
                Message(
                    "%(check)s: %(detail)s",
                    check=check_name(check["name"]),
                    detail=message_load(check.get("told") or check["detail"]),
                ),
            )
            for check in gate.get("checks", [])
        ),
    )
    return format_html("{}.<ul>{}</ul>", result, checks)


@admin.register(StageTransition)
class StageTransitionAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "model_version", "change", "by", "reason", "gate_said")
    list_filter = ("to_stage",)
    list_select_related = ("model_version", "by")
    fields = ("model_version", "change", "by", "reason", "gate_said", "created_at")

    @admin.display(description=gettext_lazy("stage"))
    def change(self, transition: StageTransition) -> str:
        return transition.stages

    @admin.display(description=gettext_lazy("gate"))
    def gate_said(self, transition: StageTransition) -> str:
        return gate_text(transition)
