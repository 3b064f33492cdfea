"""The gallery of an evaluation's photos: its filters and its pages."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, QueryDict
from django.utils.translation import gettext_lazy as _

from common.paging import MAX_COUNTED, CappedPaginator
from common.wording import format_share
from supervision.evaluations.gallery import PhotoFilter, Rightness, with_photos
from supervision.models import Evaluation

PER_PAGE = 24
RIGHTNESS_NAMES: Mapping[str, Any] = {
    "wrong": _("named wrongly"),
    "right": _("named rightly"),
    "all": _("all"),
}


def parse_filter(query: QueryDict, labels: Sequence[str], bins: int) -> PhotoFilter:
    """Return the filter in a page's address; without any, it is that of the errors.

    `labels` are the species of the version, `bins` the number of bins of its reliability diagram.
    Raises Http404 for what neither has.
    """
    species, answered = query.get("species", ""), query.get("answered", "")
    rightness, score_bin = query.get("rightness", "wrong"), query.get("score_bin", "")
    if not {species, answered} <= {"", *labels}:
        raise Http404("The version does not know this species.")
    if rightness not in get_args(Rightness):
        raise Http404("Photos are named rightly or wrongly.")
    if score_bin and not (re.fullmatch("[0-9]{1,3}", score_bin) and int(score_bin) < bins):
        raise Http404("The reliability diagram has no such bin.")
    return PhotoFilter(
        species=species,
        answered=answered,
        score_bin=int(score_bin) if score_bin else None,
        rightness=rightness,  # type: ignore[arg-type]
    )


def gallery_context(
    request: HttpRequest, evaluation: Evaluation, chosen: PhotoFilter
) -> dict[str, Any]:
    """Return what the gallery shows: a page of photos, the filters, and where pages lead."""
    return {
        **page_of_photos(request, chosen.answers(evaluation)),
        "chosen": chosen,
        "bins": [
            (number, format_share(row["confidence"]))
            for number, row in enumerate(evaluation.metrics.get("reliability", ()))
        ],
        "rightness_names": RIGHTNESS_NAMES,
        "labels": evaluation.model_version.labels,
    }


def page_of_photos(request: HttpRequest, answers: QuerySet[Any]) -> dict[str, Any]:
    """Return the page of answers that the address asks for, with photos, and where pages lead."""
    paginator = CappedPaginator(answers, PER_PAGE)
    page = paginator.get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    return {
        "page": page,
        "photos": with_photos(list(page.object_list)),
        "is_capped": paginator.count == MAX_COUNTED,
        "pages": paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1),
        "query": query.urlencode(),
    }
