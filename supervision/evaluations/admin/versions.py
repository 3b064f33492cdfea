"""Admin pages of model versions: their list and each one."""

from collections.abc import Mapping
from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import FloatField, OuterRef, QuerySet, Subquery, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from common.admin import compare_two
from common.messages import Message
from common.wording import format_share
from mlmodels.models import ModelVersion
from mlmodels.selectors import production_version, version_before_production
from supervision.evaluations.admin.annotations import AnnotatedAdmin, TagFilter
from supervision.evaluations.admin.compare_page import compare_page
from supervision.evaluations.admin.figures import accuracy_text, answer_table
from supervision.evaluations.admin.measured import MeasuredAdmin
from supervision.evaluations.admin.promotion_page import promotion_page
from supervision.evaluations.admin.shadow_page import shadow_page
from supervision.evaluations.admin.transitions import gate_text
from supervision.evaluations.answer_report import speed_text
from supervision.evaluations.gate_checks import missing_scope_of
from supervision.evaluations.promotion import PromotionRefused, rollback_request
from supervision.evaluations.selectors import present_evaluations

OUT_OF_FOLD = "out-of-fold"
"""Name of the table of the figures that a version's card states."""


@admin.register(ModelVersion)
class ModelVersionAdmin(AnnotatedAdmin, MeasuredAdmin):
    change_list_template = "admin/supervision/version_list.html"
    change_form_template = "admin/supervision/version.html"
    list_display = (
        "__str__",
        "stage",
        "promote_link",  # early: on a narrow screen the last columns are out of sight
        "accuracy_here",
        "accuracy_when_made",
        "calibration_error",
        "run_link",
        "tag_list",
        "created_at",
    )
    csv_columns = (
        *("__str__", "stage", "accuracy_here", "accuracy_when_made", "calibration_error"),
        *("megabytes", "run", "tag_list", "note", "created_at"),
    )
    list_filter = (TagFilter,)
    ordering = ("-id",)
    actions = ("compare_selected",)
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
            evaluation_here=Subquery(here.values("pk")[:1]),
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

    def metrics_of_table(self, row: Any, name: str) -> Mapping[str, Any] | None:
        if name == OUT_OF_FOLD:
            return row.metrics.get("out_of_fold")
        return self.metrics_of(row)

    def labels_of(self, row: Any) -> list[str]:
        return list(row.labels)

    def evaluation_id(self, row: Any) -> int | None:
        evaluation_id: int | None = row.evaluation_here
        return evaluation_id

    @admin.display(
        description=gettext_lazy("accuracy here (95 % interval)"), ordering="by_accuracy"
    )
    def accuracy_here(self, version: Any) -> str:
        return accuracy_text(version.metrics_here)

    @admin.display(description=gettext_lazy("accuracy when made"), ordering="by_accuracy_when_made")
    def accuracy_when_made(self, version: ModelVersion) -> str:
        return accuracy_text(version.metrics.get("evaluation"))

    @admin.display(description=gettext_lazy("size"))
    def megabytes(self, version: ModelVersion) -> str:
        size = sum(file["size"] for file in version.files.values())
        return str(Message("%(megabytes).1f MB", megabytes=size / 1e6))

    @admin.display(description=gettext_lazy("run"), ordering="run")
    def run_link(self, version: ModelVersion) -> str:
        if version.run is None:
            return ""
        url = reverse("admin:mlmodels_trainingrun_change", args=[version.run.pk])
        return format_html('<a href="{}">{}</a>', url, version.run.pk)

    @admin.display(description=gettext_lazy("promotion"))
    def promote_link(self, version: ModelVersion) -> str:
        if version.stage == ModelVersion.Stage.PRODUCTION:
            return _("in production")
        url = reverse("admin:mlmodels_modelversion_promote", args=[version.pk])
        return format_html('<a href="{}">{}</a>', url, _("Promote…"))

    @admin.display(
        description=gettext_lazy("the same by its card, out of fold on the training photos")
    )
    def answers_out_of_fold(self, version: ModelVersion) -> str:
        return answer_table(
            version.metrics.get("out_of_fold"), self.links(version).csv(OUT_OF_FOLD)
        )

    @admin.display(description=gettext_lazy("other species"))
    def telling_scope(self, version: ModelVersion) -> str:
        photos = version.card.get("recipe", {}).get("other_photos", 0)
        return str(
            missing_scope_of(version)
            or Message("It learnt from %(n)d photos what is none of its own.", n=photos)
        )

    @admin.display(description=gettext_lazy("engine"))
    def speed(self, version: Any) -> str:
        return speed_text(version.metrics, version.ms_here)

    @admin.display(description=gettext_lazy("learning curves"))
    def learning_curves(self, version: ModelVersion) -> str:
        from supervision.pictures.charts import learning_curves_svg

        if version.run is None or not version.run.history:
            return _("It was not trained here.")
        is_new = version.metrics.get("validation", {}).get("is_new", True)
        last = version.run.history[-1]
        if not last["epoch"]:
            text = (
                _(
                    "None: the dense layer was fitted in closed form, without epochs. Fitted "
                    "without them, it was right on %(share)s of the validation photos."
                )
                if is_new
                else _(
                    "None: the dense layer was fitted in closed form, without epochs. It was right "
                    "on %(share)s of the photos that it was trained on before."
                )
            )
            return text % {"share": format_share(last["accuracy"])}
        picture = learning_curves_svg(version.run.history, validation_is_new=is_new)
        return format_html('<div class="chart-box curves">{}</div>', picture)

    @admin.display(description=gettext_lazy("species"))
    def species(self, version: ModelVersion) -> str:
        return ", ".join(version.labels)

    @admin.display(description=gettext_lazy("files"))
    def file_list(self, version: ModelVersion) -> str:
        return format_html_join(
            "",
            "{}, SHA-256 <code>{}</code><br>",
            (
                (_("%(name)s: %(n)d bytes") % {"name": name, "n": file["size"]}, file["sha256"])
                for name, file in version.files.items()
            ),
        )

    @admin.display(description=gettext_lazy("stage history"))
    def history(self, version: ModelVersion) -> str:
        return format_html_join(
            "",
            "<p>{}, {}: {}<br>{}</p>",
            (
                (
                    transition.stages,
                    _("%(when)s by %(who)s")
                    % {
                        "when": localize(localtime(transition.created_at)),
                        "who": transition.by or _("somebody at the terminal"),
                    },
                    transition.reason,
                    gate_text(transition),
                )
                for transition in version.transitions.select_related("by")
            ),
        )

    def object_page(
        self, request: HttpRequest, object_id: str, context: dict[str, Any]
    ) -> HttpResponse:
        version = self.get_object(request, object_id)
        own = self.annotation_context(version) if version is not None else {}
        return super().object_page(request, object_id, own | context)

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
        compare = path(
            "compare/",
            self.admin_site.admin_view(self.compare),
            name="mlmodels_modelversion_compare",
        )
        return [promote, rollback, shadow, compare, *super().get_urls()]

    def compare(self, request: HttpRequest) -> HttpResponseBase:
        """Show two versions side by side."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return compare_page(request, self.admin_site.each_context(request))

    @admin.action(description=gettext_lazy("Compare the two selected"))
    def compare_selected(
        self, request: HttpRequest, versions: QuerySet[ModelVersion]
    ) -> HttpResponse | None:
        return compare_two(self, request, versions, "admin:mlmodels_modelversion_compare")

    def promote(self, request: HttpRequest, version_id: int) -> HttpResponse:
        version = get_object_or_404(ModelVersion, pk=version_id)
        return promotion_page(request, version, self.admin_site.each_context(request))

    def shadow(self, request: HttpRequest, version_id: int) -> HttpResponseBase:
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
                messages.success(
                    request, _("%(version)s is in production again.") % {"version": now}
                )
            else:
                warning = _("Nothing was changed: %(version)s is in production now.")
                messages.warning(request, warning % {"version": now})
        return redirect("admin:mlmodels_modelversion_changelist")
