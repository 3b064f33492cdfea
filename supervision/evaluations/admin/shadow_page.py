"""The page on which Bob sees what a version would have answered people otherwise in Staging."""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.spreadsheets import csv_response
from mlmodels.models import ModelVersion
from predictions.labels import NAMED
from predictions.models import Photo
from predictions.shadow_selectors import SHADOW_DAYS
from predictions.shadow_services import shadow_retry
from supervision.evaluations.shadow import (
    NONE_KNOWN,
    Change,
    ShadowPhoto,
    ShadowReport,
    shadow_period,
    shadow_report,
)
from supervision.evaluations.tables import SHADOW_TABLES

PER_PAGE = 24
NONE_KNOWN_KEY = "none"
"""What the page's address has instead of a species."""
CHANGES = {
    Change.SPECIES: gettext_lazy("another species"),
    Change.OUT: gettext_lazy("none of its species, instead of a species"),
    Change.IN: gettext_lazy("a species, instead of none of them"),
}


def shadow_page(
    request: HttpRequest, version: ModelVersion, context: dict[str, Any]
) -> HttpResponseBase:
    """Return the page of a version's shadow; with `csv=TABLE` one of its tables.

    A POST lets it go on after workers died.
    """
    if request.method == "POST":
        shadow_retry(version=version)
        messages.success(request, _("%(version)s goes on scoring photos.") % {"version": version})
        return redirect("admin:mlmodels_modelversion_shadow", version.pk)
    period = shadow_period(version)
    context |= {
        "title": _("Shadow of %(version)s") % {"version": version},
        "version": version,
        "production": period.production,
        "ended": period.ended,
        "days": SHADOW_DAYS,
        "is_staged": version.stage == ModelVersion.Stage.STAGING,
    }
    table = request.GET.get("csv", "")
    if period.production is not None:
        report = shadow_report(version, period.production, ended=period.ended)
        chosen = _chosen(request, report)
        if table in SHADOW_TABLES:
            columns, rows = SHADOW_TABLES[table](report, chosen)
            return csv_response(f"shadow-{version.pk}-{table}", columns, rows)
        context |= _report_context(request, report, chosen)
    if table:
        raise Http404(f"There is no table {table[:40]!r}.")
    return render(request, "admin/supervision/version_shadow.html", context)


def _chosen(request: HttpRequest, report: ShadowReport) -> list[ShadowPhoto]:
    """Return the photos that the page's address asks for."""
    change, current = request.GET.get("change", ""), request.GET.get("answer", "")
    return report.changed(
        Change(change) if change in Change.__members__.values() else None,
        current=NONE_KNOWN if current == NONE_KNOWN_KEY else current or None,
    )


def _report_context(
    request: HttpRequest, report: ShadowReport, chosen: Sequence[ShadowPhoto]
) -> dict[str, Any]:
    page = Paginator(chosen, PER_PAGE).get_page(request.GET.get("page"))
    shown = list(page.object_list)
    query = request.GET.copy()
    query.pop("page", None)
    return {
        "report": report,
        "by_change": [(each, CHANGES[each], share) for each, share in report.by_change],
        "by_answer": [(name or NONE_KNOWN_KEY, name, share) for name, share in report.by_answer],
        "is_filtered": bool(request.GET.get("change") or request.GET.get("answer")),
        "page": page,
        "cards": _cards(shown),
        "query": query.urlencode(),
    }


def _cards(shown: Sequence[ShadowPhoto]) -> list[dict[str, Any]]:
    """Return each photo with its row; without one if it is deleted, or nobody may be shown it."""
    photos = (
        Photo.objects.exclude(file="")
        .filter(is_reserved=False, pk__in=[each.photo_id for each in shown])
        .select_related("label")
        .in_bulk()
    )
    cards = []
    for each in shown:
        photo = photos.get(each.photo_id)
        is_named = photo is not None and photo.label_source in NAMED
        cards.append({"answers": each, "photo": photo, "is_named": is_named})
    return cards
