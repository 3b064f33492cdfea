"""Admin pages of training runs: the list, a live page for each run, and the forms to start one."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from common.admin import compare_two
from common.spreadsheets import csv_response
from common.wording import format_number, format_share
from mlmodels.ml.model_card import compared_poolings
from mlmodels.models import ModelVersion, TrainingRun
from mlmodels.run_services import RunEnded, run_cancel
from mlmodels.selectors import training_runs
from mlmodels.words import parameter_name, pooling_text
from supervision.datasets.composition import composition_text
from supervision.datasets.selectors import TooFewPhotos
from supervision.evaluations.admin.annotations import AnnotatedAdmin, TagFilter
from supervision.evaluations.admin.figures import NOT_MEASURED, accuracy_text
from supervision.trainings.admin.compare_page import compare_page
from supervision.trainings.admin.forms import RUN_FORMS
from supervision.trainings.admin.progress import (
    next_photos,
    other_photos_text,
    recent_runs,
    run_duration_text,
    run_line,
    run_now,
    run_parameters_text,
    trials_table,
    version_of,
)
from supervision.trainings.services import LabelsDiffer, run_request
from supervision.trainings.tables import RUN_TABLES, photos_per_species


@admin.register(TrainingRun)
class TrainingRunAdmin(AnnotatedAdmin):
    list_display = (
        *("id", "what", "state", "in_short", "result", "requested_by", "asked", "took"),
        "tag_list",
    )
    csv_columns = (
        *("id", "kind", "status", "in_short", "result", "requested_by"),
        *("created_at", "started_at", "finished_at", "tag_list", "note"),
    )
    list_filter = ("kind", "status", TagFilter)
    actions = ("compare_selected",)
    list_per_page = 50
    change_list_template = "admin/supervision/run_list.html"

    class Media:
        css = {"all": ["supervision/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrainingRun]:
        return training_runs()

    @admin.display(description=gettext_lazy("kind"), ordering="kind")
    def what(self, run: TrainingRun) -> str:
        return str(run.get_kind_display())

    @admin.display(description=gettext_lazy("requested at"), ordering="id")
    def asked(self, run: TrainingRun) -> str:
        return date_format(localtime(run.created_at), "DATETIME_FORMAT")

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def state(self, run: TrainingRun) -> str:
        line = run_line(run)
        status = format_html(
            '<span class="status {}">{}</span>', run.status, run.get_status_display()
        )
        if run.status != TrainingRun.Status.RUNNING:
            return status
        label = _("Progress of run %(run)d") % {"run": run.pk}
        return format_html(
            '{} <progress max="100" value="{}" aria-label="{}"></progress>{} %',
            status, line["percent"], label, line["percent"],
        )  # fmt: skip

    @admin.display(description=gettext_lazy("parameters"))
    def in_short(self, run: TrainingRun) -> str:
        return run_parameters_text(run)

    @admin.display(description=gettext_lazy("result"))
    def result(self, run: TrainingRun) -> str:
        version = version_of(run)
        if version is None:
            return ""
        url = reverse("admin:mlmodels_modelversion_change", args=[version.pk])
        evaluation = version.metrics.get("evaluation")
        accuracy = format_share(evaluation["accuracy"]) if evaluation else str(NOT_MEASURED)
        return format_html('<a href="{}">{}</a>: {}', url, version, accuracy)

    @admin.display(description=gettext_lazy("duration"))
    def took(self, run: TrainingRun) -> str:
        return run_duration_text(run)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("recent", wrap(self.recent), name="mlmodels_trainingrun_recent"),
            path("compare/", wrap(self.compare), name="mlmodels_trainingrun_compare"),
            path(
                "<int:pk>/tables/<slug:name>.csv",
                wrap(self.table),
                name="mlmodels_trainingrun_table",
            ),
            path("start/<str:kind>", wrap(self.start), name="mlmodels_trainingrun_start"),
            path("<int:pk>/progress", wrap(self.progress), name="mlmodels_trainingrun_progress"),
            path("<int:pk>/cancel", wrap(self.cancel), name="mlmodels_trainingrun_cancel"),
            path("<int:pk>/manifest", wrap(self.manifest), name="mlmodels_trainingrun_manifest"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"run_forms": RUN_FORMS} | (extra_context or {}))

    def object_page(
        self, request: HttpRequest, object_id: str, context: dict[str, Any]
    ) -> HttpResponse:
        """Show a run's own page."""
        run = self._run(request, object_id)
        version = version_of(run)
        own = {
            "title": _("Run %(run)d: %(kind)s") % {"run": run.pk, "kind": run.get_kind_display()},
            "run": run,
            "now": run_now(run),
            "parameters": [
                (parameter_name(name), value) for name, value in sorted(run.parameters.items())
            ],
            "took": run_duration_text(run),
            "version": version,
            "accuracy": accuracy_text(version.metrics.get("evaluation")) if version else "",
            "dataset": photos_per_species(run.dataset) if run.dataset else None,
            "composition": composition_text(run.composition) if run.composition else "",
            "others": other_photos_text(run.dataset) if run.dataset else "",
            "trials": trials_table(run) if run.trials else None,
            **self.annotation_context(run),
            "poolings": _poolings(version),
        }
        return self._page(request, "run", own | context)

    def progress(self, request: HttpRequest, pk: int) -> JsonResponse:
        """Return the live part of a run's page; live.js requests it every two seconds."""
        run = self._run(request, pk)
        now = run_now(run)
        return JsonResponse(
            {
                "status": run.status,
                "progress": run.progress,
                "is_live": now["is_live"],
                "html": render_to_string("supervision/run_now.html", now),
            }
        )

    def recent(self, request: HttpRequest) -> JsonResponse:
        """Return the last runs for the dashboard; live.js requests it every two seconds."""
        self._check_may_see(request)
        recent = recent_runs()
        html = render_to_string("supervision/recent_runs.html", recent)
        return JsonResponse({"is_live": recent["is_live"], "html": html})

    def table(self, request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
        """Return one of the tables of a run's page as CSV."""
        run = self._run(request, pk)
        if name not in RUN_TABLES:
            raise Http404(f"There is no table {name!r} of run {pk}.")
        columns, rows = RUN_TABLES[name](run)
        return csv_response(f"run-{pk}-{name}", columns, rows)

    def compare(self, request: HttpRequest) -> HttpResponseBase:
        """Show two runs side by side."""
        self._check_may_see(request)
        return compare_page(request, self.admin_site.each_context(request) | {"opts": self.opts})

    @admin.action(description=gettext_lazy("Compare the two selected"))
    def compare_selected(
        self, request: HttpRequest, runs: QuerySet[TrainingRun]
    ) -> HttpResponse | None:
        return compare_two(self, request, runs, "admin:mlmodels_trainingrun_compare")

    def manifest(self, request: HttpRequest, pk: int) -> JsonResponse:
        """Return the exact photos of a run, from which its dataset can be rebuilt, as a file."""
        run = self._run(request, pk)
        if run.dataset is None:
            raise Http404(f"Run {pk} has not chosen its photos yet.")
        name = f"run-{pk}-dataset.json"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return JsonResponse({"sha256": run.dataset_sha256, **run.dataset}, headers=headers)

    def cancel(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for confirmation on GET; cancel the run on POST."""
        run = self._run(request, pk)
        if request.method != "POST":
            title = _("Cancel run %(run)d?") % {"run": pk}
            return self._page(request, "run_cancel", {"title": title, "run": run})
        try:
            run_cancel(run=run)
        except RunEnded as error:
            unchanged = _("Nothing was changed.")
            messages.warning(request, f"{error} {unchanged}")
        else:
            messages.success(request, _("Run %(run)d was cancelled.") % {"run": pk})
        return HttpResponseRedirect(reverse("admin:mlmodels_trainingrun_change", args=[pk]))

    def start(self, request: HttpRequest, kind: str) -> HttpResponse:
        """Show the form of one kind of run on GET; queue the run on POST."""
        self._check_may_see(request)
        if kind not in RUN_FORMS:
            raise Http404(f"There is no kind of run named {kind!r}.")
        form = RUN_FORMS[kind](request.POST if request.method == "POST" else None)
        if form.is_valid() and isinstance(request.user, User):
            try:
                run = run_request(
                    kind=kind,
                    parameters=form.parameters(),
                    parent=form.parent_version(),
                    requested_by=request.user,
                )
            except (TooFewPhotos, LabelsDiffer) as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, _("Run %(run)d is in the queue.") % {"run": run.pk})
                url = reverse("admin:mlmodels_trainingrun_change", args=[run.pk])
                return HttpResponseRedirect(url)
        context = {"title": form.title, "form": form, **next_photos()}
        return self._page(request, "run_start", context)

    def _run(self, request: HttpRequest, pk: int | str) -> TrainingRun:
        self._check_may_see(request)
        run = self.get_object(request, str(pk))
        if run is None:
            raise Http404(f"There is no run {pk}.")
        return run

    def _check_may_see(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        context = self.admin_site.each_context(request) | {"opts": self.opts} | context
        return TemplateResponse(request, f"admin/supervision/{name}.html", context)


def _poolings(version: ModelVersion | None) -> list[tuple[str, int, str, str]]:
    """Return the poolings that a search compared, as texts, each with its figures."""
    compared = compared_poolings(version.card.get("recipe", {})) if version else []
    return [
        (pooling_text(pooling), n, format_share(accuracy), format_number(nll, ".3f"))
        for pooling, n, accuracy, nll in compared
    ]
