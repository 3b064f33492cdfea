"""Admin pages of model versions: their list, each one, and the history of their stages."""

from collections.abc import Mapping
from typing import Any, cast

from django.contrib import admin, messages
from django.db.models import FloatField, OuterRef, QuerySet, Subquery, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.timezone import localtime

from accounts.models import User
from common.admin import ReadOnlyAdmin
from common.messages import message_load
from mlmodels.models import ModelVersion, StageTransition
from mlmodels.selectors import production_version, version_before_production
from supervision.evaluations.admin.figures import accuracy_text, answer_table
from supervision.evaluations.admin.measured import MeasuredAdmin
from supervision.evaluations.admin.promotion_page import promotion_page
from supervision.evaluations.admin.shadow_page import shadow_page
from supervision.evaluations.answer_report import speed_text
from supervision.evaluations.gate_checks import missing_scope_of
from supervision.evaluations.promotion import PromotionRefused, rollback_request
from supervision.evaluations.selectors import present_evaluations


def gate_text(transition: StageTransition) -> str:
    """Return the gate's result and its checks as HTML."""
    gate = transition.gate
    if not gate:
        return ""
    result = "overridden" if gate.get("overridden") else "passed"
    kind = "Rollback; gate" if gate.get("rollback") else "Gate"
    checks = format_html_join(
        "",
        "<li>{} {}: {}</li>",
        (
            (
                "✓" if check["passed"] else "✗",
                check["name"].replace("_", " "),
                message_load(check.get("told") or check["detail"]),
            )
            for check in gate.get("checks", [])
        ),
    )
    return format_html("{} {}.<ul>{}</ul>", kind, result, checks)


@admin.register(ModelVersion)
class ModelVersionAdmin(MeasuredAdmin):
    change_list_template = "admin/supervision/version_list.html"
    change_form_template = "admin/supervision/version.html"
    list_display = (
        "__str__",
        "stage",
        "promote_link",  # early: on a narrow screen the last columns are out of sight
        "accuracy_here",
        "accuracy_when_made",
        "calibration_error",
        "megabytes",
        "run",
        "created_at",
    )
    ordering = ("-id",)
    fields = (
        "stage",
        "accuracy_here",
        "accuracy_when_made",
        "calibration_error",
        "reliability",
        "by_species",
        "by_size",
        "confusion",
        "answers_here",
        "genera_here",
        "answers_out_of_fold",
        "telling_scope",
        "speed",
        "learning_curves",
        "run",
        "parent",
        "species",
        "input_size",
        "preprocessing",
        "temperature",
        "file_list",
        "history",
        "created_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        """Return the versions with `metrics_here`, their figures on the present evaluation set."""
        versions = super().get_queryset(request).defer("card").select_related("run", "parent")
        here = present_evaluations(ModelVersion.objects.all()).filter(model_version=OuterRef("pk"))
        when_made = Cast(KT("metrics__evaluation__accuracy"), FloatField())
        return versions.annotate(
            metrics_here=Subquery(here.values("metrics")[:1]),
            ms_here=Subquery(here.values("ms_per_photo")[:1]),
            # Versions that were not measured come last when the best come first.
            by_accuracy=Coalesce(Subquery(here.values("accuracy")[:1]), Value(-1.0)),
            by_accuracy_when_made=Coalesce(when_made, Value(-1.0)),
        )

    def metrics_of(self, row: Any) -> Mapping[str, Any] | None:
        """Return the metrics on the present evaluation set, else those of the version's card."""
        metrics: Mapping[str, Any] | None = row.metrics_here or row.metrics.get("evaluation")
        return metrics

    def metrics_here(self, row: Any) -> Mapping[str, Any] | None:
        metrics: Mapping[str, Any] | None = row.metrics_here
        return metrics

    def labels_of(self, row: Any) -> list[str]:
        return list(row.labels)

    @admin.display(description="accuracy here (95 % interval)", ordering="by_accuracy")
    def accuracy_here(self, version: Any) -> str:
        return accuracy_text(version.metrics_here)

    @admin.display(description="accuracy when made", ordering="by_accuracy_when_made")
    def accuracy_when_made(self, version: ModelVersion) -> str:
        return accuracy_text(version.metrics.get("evaluation"))

    @admin.display(description="size")
    def megabytes(self, version: ModelVersion) -> str:
        return f"{sum(file['size'] for file in version.files.values()) / 1e6:.1f} MB"

    @admin.display(description="")
    def promote_link(self, version: ModelVersion) -> str:
        if version.stage == ModelVersion.Stage.PRODUCTION:
            return "in production"
        url = reverse("admin:mlmodels_modelversion_promote", args=[version.pk])
        return format_html('<a href="{}">Promote…</a>', url)

    @admin.display(description="the same by its card, out of fold on the training photos")
    def answers_out_of_fold(self, version: ModelVersion) -> str:
        return answer_table(version.metrics.get("out_of_fold"))

    @admin.display(description="other species")
    def telling_scope(self, version: ModelVersion) -> str:
        photos = version.card.get("recipe", {}).get("other_photos", 0)
        return (
            missing_scope_of(version) or f"It learnt from {photos} photos what is none of its own."
        )

    @admin.display(description="engine")
    def speed(self, version: Any) -> str:
        return speed_text(version.metrics, version.ms_here)

    @admin.display(description="learning curves")
    def learning_curves(self, version: ModelVersion) -> str:
        from supervision.pictures.charts import learning_curves_svg

        if version.run is None or not version.run.history:
            return "It was not trained here."
        is_new = version.metrics.get("validation", {}).get("is_new", True)
        last = version.run.history[-1]
        if not last["epoch"]:
            photos = "validation photos" if is_new else "photos that it was trained on before"
            return (
                "None: the dense layer was fitted in closed form, without epochs. Fitted without "
                f"them, it was right on {last['accuracy']:.1%} of the {photos}."
            )
        picture = learning_curves_svg(version.run.history, validation_is_new=is_new)
        return format_html('<div class="chart-box curves">{}</div>', picture)

    @admin.display(description="species")
    def species(self, version: ModelVersion) -> str:
        return ", ".join(version.labels)

    @admin.display(description="files")
    def file_list(self, version: ModelVersion) -> str:
        return format_html_join(
            "",
            "{}: {} bytes, SHA-256 <code>{}</code><br>",
            ((name, file["size"], file["sha256"]) for name, file in version.files.items()),
        )

    @admin.display(description="stage history")
    def history(self, version: ModelVersion) -> str:
        return format_html_join(
            "",
            "<p>{} → {}, {} by {}: {}<br>{}</p>",
            (
                (
                    transition.from_stage,
                    transition.to_stage,
                    localize(localtime(transition.created_at)),
                    transition.by or "somebody at the terminal",
                    transition.reason,
                    gate_text(transition),
                )
                for transition in version.transitions.select_related("by")
            ),
        )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"current": production_version(), "before": version_before_production()}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        promote = path(
            "<int:version_id>/promote/",
            self.admin_site.admin_view(self.promote),
            name="mlmodels_modelversion_promote",
        )
        rollback = path(
            "rollback/",
            self.admin_site.admin_view(self.rollback),
            name="mlmodels_modelversion_rollback",
        )
        shadow = path(
            "<int:version_id>/shadow/",
            self.admin_site.admin_view(self.shadow),
            name="mlmodels_modelversion_shadow",
        )
        return [promote, rollback, shadow, *super().get_urls()]

    def promote(self, request: HttpRequest, version_id: int) -> HttpResponse:
        version = get_object_or_404(ModelVersion, pk=version_id)
        return promotion_page(request, version, self.admin_site.each_context(request))

    def shadow(self, request: HttpRequest, version_id: int) -> HttpResponse:
        version = get_object_or_404(ModelVersion, pk=version_id)
        return shadow_page(request, version, self.admin_site.each_context(request))

    def rollback(self, request: HttpRequest) -> HttpResponse:
        """Undo the last promotion, unless another version has replaced the one that Bob saw.

        The form's `leaving` is the id of the version that was in production on his page.
        """
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        leaving = production_version()
        is_seen = leaving is None or request.POST.get("leaving") == str(leaving.pk)
        try:
            is_done = is_seen and rollback_request(leaving=leaving, by=cast(User, request.user))
        except PromotionRefused as refused:
            messages.error(request, refused.detail)
        else:
            now = production_version()
            if is_done:
                messages.success(request, f"{now} is in production again.")
            else:
                messages.warning(request, f"Nothing was changed: {now} is in production now.")
        return redirect("admin:mlmodels_modelversion_changelist")


@admin.register(StageTransition)
class StageTransitionAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "model_version", "change", "by", "reason", "gate_said")
    list_filter = ("to_stage",)
    list_select_related = ("model_version", "by")
    fields = ("model_version", "change", "by", "reason", "gate_said", "created_at")

    @admin.display(description="stage")
    def change(self, transition: StageTransition) -> str:
        return f"{transition.from_stage} → {transition.to_stage}"

    @admin.display(description="gate")
    def gate_said(self, transition: StageTransition) -> str:
        return gate_text(transition)
