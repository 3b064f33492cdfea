"""The page on which two runs stand side by side."""

from typing import Any

from django import forms
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.spreadsheets import csv_response
from common.wording import format_number
from mlmodels.models import TrainingRun
from mlmodels.selectors import training_runs
from supervision.datasets.composition import composition_text
from supervision.evaluations.admin.figures import accuracy_text, calibration_text
from supervision.evaluations.parameters import parameter_rows
from supervision.pictures.compared_curves import compared_curves_svg
from supervision.trainings.admin.progress import run_duration_text, version_of


class RunPairForm(forms.Form):
    """Which two runs to compare, by their numbers."""

    a = forms.IntegerField(min_value=1, max_value=2**31 - 1, label=gettext_lazy("run"))
    b = forms.IntegerField(min_value=1, max_value=2**31 - 1, label=gettext_lazy("and run"))

    def clean(self) -> dict[str, Any]:
        """Refuse the same run twice, and one that does not exist."""
        cleaned = super().clean() or {}
        pair = [cleaned[name] for name in ("a", "b") if cleaned.get(name)]
        if len(pair) == 2 and pair[0] == pair[1]:
            raise forms.ValidationError(_("Choose two different runs."))
        known = training_runs().in_bulk(pair)
        if missing := [pk for pk in pair if pk not in known]:
            raise forms.ValidationError(_("There is no run %(run)d.") % {"run": missing[0]})
        return {**cleaned, "runs": [known[pk] for pk in pair]}


def compare_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponseBase:
    """Return the page of two runs, `?a=ID&b=ID`; with `csv=TABLE` one of its tables."""
    is_chosen = {"a", "b"} <= request.GET.keys()
    form = RunPairForm(request.GET if is_chosen else None, initial=request.GET.dict())
    context |= {"title": _("Compare runs"), "form": form}
    if form.is_valid():
        first, second = form.cleaned_data["runs"]
        figures = figure_rows(first, second)
        parameters = parameter_rows(first.parameters, second.parameters)
        names = str(first.pk), str(second.pk)
        if table := request.GET.get("csv"):
            name = f"compare-runs-{first.pk}-{second.pk}-{table}"
            if table == "parameters":
                rows = ((row.name, row.first, row.second) for row in parameters)
                return csv_response(name, ("parameter", *names), rows)
            if table == "figures":
                return csv_response(name, ("figure", *names), figures)
            raise Http404(f"There is no table {table[:40]!r}.")
        context |= {
            "title": _("Run %(first)d and run %(second)d")
            % {"first": first.pk, "second": second.pk},
            "is_comparison": True,
            "pair_query": f"a={first.pk}&b={second.pk}",
            "first": first,
            "second": second,
            "versions": [version_of(first), version_of(second)],
            "figures": figures,
            "parameters": parameters,
            "curves": compared_curves_svg(
                [(_("run %(run)d") % {"run": run.pk}, run.history) for run in (first, second)]
            ),
        }
    return render(request, "admin/supervision/run_compare.html", context)


def figure_rows(first: TrainingRun, second: TrainingRun) -> list[tuple[str, str, str]]:
    """Return names and texts of what two runs have come to."""
    columns = [_figures(run) for run in (first, second)]
    return [(name, columns[0][name], columns[1][name]) for name in columns[0]]


def _figures(run: TrainingRun) -> dict[str, str]:
    version = version_of(run)
    metrics = version.metrics if version else {}
    best = min((t["nll"] for t in run.trials if t["state"] == "complete"), default=None)
    return {
        _("kind"): run.get_kind_display(),
        _("status"): run.get_status_display(),
        _("continues"): str(run.parent or ""),
        _("requested at"): date_format(localtime(run.created_at), "DATETIME_FORMAT"),
        _("duration"): run_duration_text(run),
        _("photos"): composition_text(run.composition) if run.composition else "",
        _("result"): str(version or ""),
        _("accuracy when made (95 % interval)"): accuracy_text(metrics.get("evaluation")),
        _("calibration error when made (95 % interval)"): calibration_text(
            metrics.get("evaluation")
        ),
        _("validation accuracy (95 % interval)"): accuracy_text(metrics.get("validation")),
        _("trials"): str(len(run.trials) or ""),
        _("best trial, negative log-likelihood"): ""
        if best is None
        else format_number(best, ".3f"),
    }
