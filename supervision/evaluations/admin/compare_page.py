"""The page on which two versions stand side by side, and its tables as CSV."""

import re
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.spreadsheets import MAX_ROWS, csv_response
from mlmodels.models import ModelVersion
from supervision.evaluations.admin.side_by_side import figures_context, photos_context
from supervision.evaluations.comparison import WHO_IS_RIGHT, disagreements
from supervision.evaluations.on_demand import evaluations_request
from supervision.evaluations.parameters import parameter_rows, version_parameters
from supervision.evaluations.selectors import version_figures
from supervision.pictures.compared_curves import compared_curves_svg


class VersionPairForm(forms.Form):
    """Which two versions to compare."""

    a = forms.ModelChoiceField(
        ModelVersion.objects.only("name", "version").order_by("-id"), label=gettext_lazy("version")
    )
    b = forms.ModelChoiceField(
        ModelVersion.objects.only("name", "version").order_by("-id"), label=gettext_lazy("and")
    )

    def clean(self) -> dict[str, Any]:
        """Refuse the same version twice."""
        cleaned = super().clean() or {}
        if cleaned.get("a") is not None and cleaned.get("a") == cleaned.get("b"):
            raise forms.ValidationError(_("Choose two different versions."))
        return cleaned


def compare_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponseBase:
    """Return the page of two versions, `?a=ID&b=ID`; with `csv=TABLE` one of its tables.

    `right` shows only the photos that one of both, or neither, names rightly. What was not measured
    on the present evaluation set is measured first, and the page shows the progress.
    """
    is_chosen = {"a", "b"} <= request.GET.keys()
    form = VersionPairForm(request.GET if is_chosen else None, initial=request.GET.dict())
    context |= {"title": _("Compare versions"), "form": form}
    if not form.is_valid():
        return _page(request, context)
    pair = (form.cleaned_data["a"].pk, form.cleaned_data["b"].pk)
    versions = ModelVersion.objects.select_related("run").in_bulk(pair)
    first, second = (versions[pk] for pk in pair)
    if table := request.GET.get("csv"):
        return _csv(table, first, second)
    context |= {
        "title": _("%(first)s and %(second)s") % {"first": first, "second": second},
        "evaluating": None,
    }
    evaluating = evaluations_request(versions=[first, second])
    if evaluating is not None and not evaluating.error:
        return _page(request, context | {"evaluating": evaluating})
    figures = version_figures(first), version_figures(second)
    right = request.GET.get("right", "")
    page = request.GET.get("page", "1")
    if right not in ("", *WHO_IS_RIGHT) or not re.fullmatch("[0-9]{1,6}", page):
        raise Http404("There are no such photos.")
    context |= {
        "evaluation_error": evaluating.error if evaluating else "",
        "is_comparison": True,
        "pair_query": f"a={first.pk}&b={second.pk}",
        "parameters": parameter_rows(version_parameters(first), version_parameters(second)),
        "curves": compared_curves_svg(
            [(str(each), each.run.history if each.run else []) for each in (first, second)]
        ),
        **figures_context(*figures),
        **photos_context(*figures, right=right, page=int(page)),
    }
    return _page(request, context)


def _page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    return render(request, "admin/supervision/version_compare.html", context)


def _csv(table: str, first: ModelVersion, second: ModelVersion) -> HttpResponseBase:
    name = f"compare-{first.pk}-{second.pk}-{table}"
    columns: tuple[str, ...]
    if table == "parameters":
        rows = parameter_rows(version_parameters(first), version_parameters(second))
        columns = ("parameter", str(first), str(second))
        return csv_response(name, columns, ((row.name, row.first, row.second) for row in rows))
    figures = version_figures(first), version_figures(second)
    shown = figures_context(*figures)
    if table == "figures":
        return csv_response(name, ("figure", str(first), str(second)), shown["rows"])
    if table == "species":
        columns = ("species", "photos", str(first), str(second), "difference")
        species = shown["species"]
        return csv_response(
            name,
            columns,
            ((row.species, row.n, row.candidate, row.current, row.difference) for row in species),
        )
    evaluations = [each.evaluation for each in figures if each.evaluation is not None]
    if table != "photos" or len(evaluations) < 2:
        raise Http404(f"There is no table {table[:40]!r}.")
    columns = (
        *("sha256", "true_species", f"{first} answered", f"{first} score"),
        *(f"{second} answered", f"{second} score", "right"),
    )
    photos = disagreements(evaluations[0], evaluations[1], limit=MAX_ROWS)
    right = {"candidate": str(first), "current": str(second), "neither": "neither"}
    return csv_response(
        name,
        columns,
        (
            (row.sha256, row.species, *row.candidate, *row.current, right[row.who_is_right])
            for row in photos
        ),
    )
