"""The page of an evaluation's photos of other species: taken for one of its own, or held out."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.spreadsheets import MAX_ROWS, csv_response
from mlmodels.ml.reference import group_text
from supervision.datasets.selectors import species_names
from supervision.evaluations.admin.gallery import page_of_photos
from supervision.evaluations.gallery import OthersFilter, Outcome
from supervision.models import Evaluation

OUTCOMES: Mapping[Outcome, Any] = {
    "passed": gettext_lazy("taken for one of its species"),
    "held_out": gettext_lazy("held out"),
    "all": gettext_lazy("all"),
}
COLUMNS = ("sha256", "name", "genus", "answered", "score", "scope", "in_scope")


def others_page(
    request: HttpRequest, evaluation: Evaluation, context: dict[str, Any]
) -> HttpResponseBase:
    """Return the page of the photos that the query asks for; with `csv=photos` these as CSV.

    Without a query they are those that were taken for one of the version's species.
    """
    genera = list(evaluation.others.order_by("genus").values_list("genus", flat=True).distinct())
    chosen = _filter(request, evaluation, genera)
    answers = chosen.answers(evaluation)
    if table := request.GET.get("csv"):
        if table != "photos":
            raise Http404(f"There is no table {table[:40]!r}.")
        rows = answers.values_list(*COLUMNS)[: MAX_ROWS + 1]
        return csv_response(f"evaluation-{evaluation.pk}-others", COLUMNS, rows.iterator())
    version = evaluation.model_version
    context |= page_of_photos(request, answers) | {
        "title": _("%(version)s on photos of other species") % {"version": version},
        "evaluation": evaluation,
        "version": version,
        "chosen": chosen,
        "outcomes": OUTCOMES,
        "genera": [(name, group_text(name)) for name in genera],
        "labels": version.labels,
        "known_species": species_names(),
    }
    return TemplateResponse(request, "admin/supervision/evaluation_others.html", context)


def _filter(request: HttpRequest, evaluation: Evaluation, genera: Sequence[str]) -> OthersFilter:
    """Return the filter in the page's address. Raises Http404 for what the evaluation lacks.

    An evaluation without any `genera` was stored by an older ChampiPy; its figures lead here, too.
    """
    genus, answered = request.GET.get("genus", ""), request.GET.get("answered", "")
    outcome = request.GET.get("outcome", "passed")
    if answered not in ("", *evaluation.model_version.labels):
        raise Http404("The version does not know this species.")
    if genus and genera and genus not in genera:
        raise Http404("The evaluation has no photo of this genus.")
    if outcome not in get_args(Outcome):
        raise Http404("Photos of other species are taken for one of its species, or held out.")
    return OthersFilter(genus=genus, answered=answered, outcome=outcome)  # type: ignore[arg-type]
