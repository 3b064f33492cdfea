"""What several admin pages use: base classes, and texts. Pages of versions are in `supervision`."""

import html
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import lookup_field
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import format_lazy
from django.utils.translation import gettext

from common.paging import MAX_COUNTED
from common.spreadsheets import MAX_ROWS, csv_response

PORTION = 200
"""Rows that are read at a time for a CSV."""


def time_text(at: datetime | None) -> str:
    """Return a time as all pages write it; empty for None."""
    return date_format(timezone.localtime(at), "DATETIME_FORMAT") if at else ""


def latin(name: str) -> str:
    """Return a scientific name in italics, marked as Latin; empty for none."""
    return format_html('<i lang="la">{}</i>', name) if name else ""


def with_listed_count(text: Any) -> Any:
    """Return a lazy text with how many rows are listed at most in the place of {count}."""
    return format_lazy(text, count=lazy(number_format, str)(MAX_COUNTED, force_grouping=True))


class CsvListAdmin(admin.ModelAdmin):
    """Admin pages whose list, filtered and sorted as the page is, can be had as CSV."""

    has_csv = True
    csv_columns: tuple[str, ...] = ()
    """As list_display; empty: those of the list."""

    def get_urls(self) -> list[URLPattern]:
        rows = path(
            "export.csv",
            self.admin_site.admin_view(self.export),
            name=f"{self.opts.app_label}_{self.opts.model_name}_csv",
        )
        return [rows, *super().get_urls()]

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """Return the rows of the list that the query asks for as CSV, within its bounds."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).queryset[: MAX_ROWS + 1]
        except IncorrectLookupParameters as error:
            raise Http404("The list has no such filter.") from error
        columns: Sequence[Any] = self.csv_columns or self.get_list_display(request)
        names = [
            str(
                self.opts.model_name if column == "__str__" else getattr(column, "__name__", column)
            )
            for column in columns
        ]
        return csv_response(f"{self.opts.model_name}-list", names, self._cells(rows, columns))

    def prepare_for_csv(self, rows: list[Any]) -> None:
        """Read what the columns of a portion of rows need besides, for all of them at once."""

    def _cells(self, rows: QuerySet, columns: Sequence[Any]) -> Iterator[list[Any]]:
        remaining = rows.iterator(chunk_size=PORTION)
        while portion := list(islice(remaining, PORTION)):
            self.prepare_for_csv(portion)
            for row in portion:
                yield [plain_value(lookup_field(name, row, self)[2]) for name in columns]


class ReadOnlyAdmin(CsvListAdmin):
    """Admin page for rows that only services write."""

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        return self.object_page(request, object_id, extra_context or {})

    def object_page(
        self, request: HttpRequest, object_id: str, context: dict[str, Any]
    ) -> HttpResponse:
        """Return the page of one row. Override it to add to its context, or for another page."""
        return super().change_view(request, object_id, extra_context=context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def compare_two(
    model_admin: admin.ModelAdmin, request: HttpRequest, rows: QuerySet, page: str
) -> HttpResponse | None:
    """Return a redirect to the page that compares the two selected rows, the older one first.

    `page` is the name of its URL, which takes their ids as `a` and `b`. If there are not two, a
    message says so.
    """
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[:3])
    if len(ids) != 2:
        message = gettext("Select two rows to compare them.")
        model_admin.message_user(request, message, messages.WARNING)
        return None
    return redirect(f"{reverse(page)}?a={ids[0]}&b={ids[1]}")


def plain_value(value: Any) -> Any:
    """Return a value of a list for a cell of a spreadsheet: times as ISO 8601, HTML as its text."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, SafeString):
        spaced = re.sub(r"<[^>]*>", " ", re.sub(r"</?i\b[^>]*>", "", value))
        return " ".join(html.unescape(spaced).split())
    return value
