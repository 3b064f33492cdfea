"""The history: what a verifier asked and decided, as a list and as CSV."""

import re
from collections.abc import Callable
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
from common.paging import MAX_ID, search_end
from observations.api.filters import filtered
from observations.api.spreadsheets import csv_of
from observations.models import Observation
from observations.selectors import observations_asked_by
from observations.services import observation_delete
from predictions.verdicts import VERDICT_LABELS

PAGE_SIZE = 24
MAX_DELETED = 100
"""Finds, or single photos, that one form deletes."""


@login_required
@require_safe
def finds(request: HttpRequest) -> HttpResponse:
    """List the finds that the user asked about or decided, newest first, a page at a time."""
    chosen, errors = _chosen(request)
    context = {
        **page_context(request, chosen),
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
    own = observations_asked_by(cast(User, request.user))
    chosen = own.filter(pk__in=chosen_numbers(request, "find"))
    return chosen_delete(
        request,
        chosen,
        lambda observation: observation_delete(observation=observation),
        page="observations/history_delete.html",
        none=gettext("Nothing was deleted: no find of yours was chosen."),
        done=lambda n: ngettext("%(count)d find was deleted.", "%(count)d finds were deleted.", n),
        back="finds",
    )


def chosen_delete(
    request: HttpRequest,
    chosen: QuerySet,
    delete: Callable[[Any], None],
    *,
    page: str,
    none: str,
    done: Callable[[int], str],
    back: str,
) -> HttpResponse:
    """Delete the chosen rows one by one with `delete`, once the user has confirmed it.

    `page` is the template that asks, with the rows as `chosen`; `none` and `done` say that nothing
    was chosen, or how many rows (`%(count)d`) were deleted. Both lead to the page named `back`.
    """
    if not chosen:
        messages.warning(request, none)
    elif "confirmed" not in request.POST:
        return render(request, page, {"chosen": chosen})
    else:
        count = 0
        for row in chosen:
            delete(row)
            count += 1
        messages.success(request, done(count) % {"count": count})
    return HttpResponseRedirect(reverse(back))


def page_context(
    request: HttpRequest, chosen: QuerySet, searched: QuerySet | None = None
) -> dict[str, Any]:
    """Return a page of the rows that the filters choose, newest first, and where pages lead.

    `searched`: the rows among which the filters look one by one, as CappedPagination has it.
    """
    text, cursor = request.GET.get("cursor", ""), None
    if re.fullmatch("[0-9]{1,19}", text) and int(text) <= MAX_ID:
        cursor = int(text)
        chosen = chosen.filter(pk__lt=cursor)
    end = None if searched is None else search_end(searched, cursor)
    if end is not None:
        chosen = chosen.filter(pk__gte=end)
    rows = list(chosen[: PAGE_SIZE + 1])
    query = request.GET.copy()
    query.pop("cursor", None)
    return {
        "rows": rows[:PAGE_SIZE],
        "next_cursor": rows[PAGE_SIZE - 1].pk if len(rows) > PAGE_SIZE else end,
        "is_first_page": not text,
        "query": query.urlencode(),
        "asked": request.GET,
    }


def chosen_numbers(request: HttpRequest, field: str) -> list[int]:
    """Return the ids of the rows that a form chooses to delete, MAX_DELETED at most."""
    given = request.POST.getlist(field)
    return [int(each) for each in given if re.fullmatch("[0-9]{1,18}", each)][:MAX_DELETED]


def _chosen(request: HttpRequest) -> tuple[QuerySet[Observation], dict[str, Any]]:
    """Return the user's finds that the filters choose, and what is wrong with the filters."""
    own = observations_asked_by(cast(User, request.user))
    try:
        # Fields that are left empty choose nothing.
        return filtered(own, {name: text for name, text in request.GET.items() if text}), {}
    except ValidationError as error:
        return own.none(), cast(dict[str, Any], error.detail)
