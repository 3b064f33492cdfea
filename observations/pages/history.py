"""The history: what a verifier asked and decided, as a list and as CSV."""

import re
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_POST, require_safe
from rest_framework.exceptions import ValidationError

from accounts.models import User
from common.paging import MAX_ID
from observations.api.filters import filtered
from observations.api.spreadsheets import csv_of
from observations.models import Observation
from observations.selectors import observations_asked_by
from observations.services import observation_delete
from predictions.verdicts import VERDICT_LABELS

PAGE_SIZE = 24
MAX_DELETED = 100
"""Finds that one form deletes."""


@login_required
@require_safe
def finds(request: HttpRequest) -> HttpResponse:
    """List the finds that the user asked about or decided, newest first, a page at a time."""
    chosen, errors = _chosen(request)
    cursor = request.GET.get("cursor", "")
    if re.fullmatch("[0-9]{1,19}", cursor) and int(cursor) <= MAX_ID:
        chosen = chosen.filter(pk__lt=int(cursor))
    rows = list(chosen[: PAGE_SIZE + 1])
    query = request.GET.copy()
    query.pop("cursor", None)
    context = {
        "finds": rows[:PAGE_SIZE],
        "next_cursor": rows[PAGE_SIZE - 1].pk if len(rows) > PAGE_SIZE else None,
        "is_first_page": not cursor,
        "query": query.urlencode(),
        "asked": request.GET,
        "errors": errors,
        "verdicts": VERDICT_LABELS.items(),
        "decisions": Observation.Decision.choices[1:],
        "sources": Observation.Source.choices,
    }
    return render(request, "observations/history.html", context, status=400 if errors else 200)


@login_required
@require_safe
def finds_csv(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Return what the list shows, without its pages, as CSV."""
    chosen, errors = _chosen(request)
    if errors:
        return finds(request)
    return csv_of(chosen)


@login_required
@require_POST
def finds_delete(request: HttpRequest) -> HttpResponse:
    """Delete the finds that were chosen, once the user has confirmed it."""
    numbers = [
        int(each) for each in request.POST.getlist("find") if re.fullmatch("[0-9]{1,18}", each)
    ]
    chosen = observations_asked_by(cast(User, request.user)).filter(pk__in=numbers[:MAX_DELETED])
    if not chosen:
        messages.warning(request, gettext("Nothing was deleted: no find of yours was chosen."))
    elif "confirmed" not in request.POST:
        return render(request, "observations/history_delete.html", {"finds": chosen})
    else:
        count = 0
        for observation in chosen:
            observation_delete(observation=observation)
            count += 1
        told = ngettext("%(count)d find was deleted.", "%(count)d finds were deleted.", count)
        messages.success(request, told % {"count": count})
    return HttpResponseRedirect(reverse("finds"))


def _chosen(request: HttpRequest) -> tuple[QuerySet[Observation], dict[str, Any]]:
    """Return the user's finds that the filters choose, and what is wrong with the filters."""
    own = observations_asked_by(cast(User, request.user))
    try:
        # Fields that are left empty choose nothing.
        return filtered(own, {name: text for name, text in request.GET.items() if text}), {}
    except ValidationError as error:
        return own.none(), cast(dict[str, Any], error.detail)
