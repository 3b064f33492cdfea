"""Pages of lists. Counting stops at MAX_COUNTED rows in those of long tables."""

import re
from typing import Any, cast

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property
from django.utils.translation import gettext
from rest_framework import pagination, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from common.messages import Message

MAX_COUNTED = 10_000
MAX_REVIEWED = 1000
"""At which counting stops in lists of photos to review, each of which costs several look-ups."""
PAGE_SIZE = 50
MAX_PAGE_SIZE = 100
CURSOR = "cursor"
MAX_ID = 2**63 - 1
PAGE_SIZE_PARAMETER = (
    "page_size",
    "How many results a page has.",
    {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": PAGE_SIZE},
)
CURSOR_SCHEMA = {"type": "string", "pattern": "^[0-9]{1,19}$"}


class Pages(pagination.PageNumberPagination):
    """Pages by their number: digits only. Other texts are a 400, a page that is missing a 404."""

    def get_page_number(self, request: Request, paginator: Any) -> str:
        number = request.query_params.get(self.page_query_param, "1")
        if not re.fullmatch(r"[0-9]{1,9}", number):
            message = gettext("A valid integer is required.")
            raise serializers.ValidationError({self.page_query_param: message}, code="invalid")
        return str(number)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        [page, *others] = super().get_schema_operation_parameters(view)
        whole = {"type": "integer", "minimum": 1, "maximum": 999_999_999}
        return [{**page, "schema": whole}, *others]


def capped_count(rows: QuerySet[Any], limit: int | None = None) -> int:
    """Return the number of rows, or `limit` (default MAX_COUNTED) if there are more."""
    return rows.order_by().values("pk")[: limit or MAX_COUNTED].count()


class CappedPaginator(Paginator):
    """Pages of the first rows, MAX_COUNTED at most. Counting all would read the whole table."""

    object_list: QuerySet[Any]
    limit: int | None = None
    """Of the rows, where not MAX_COUNTED."""

    @cached_property
    def count(self) -> int:
        return capped_count(self.object_list, self.limit)

    def page(self, number: int | str) -> Page:
        """Return a page. Rows before it are skipped by their keys, without what is joined."""
        page: Page = super().page(number)
        page.object_list = self.object_list.filter(pk__in=self.keys_of(page))
        return page

    def keys_of(self, page: Page) -> QuerySet[Any] | list[int]:
        """Return the keys of a page's rows, or the query for them."""
        return cast(QuerySet[Any], page.object_list).select_related(None).values("pk")


class ReviewPaginator(CappedPaginator):
    """Pages of the first MAX_REVIEWED rows, whose keys are read before what is joined."""

    limit = MAX_REVIEWED

    def keys_of(self, page: Page) -> list[int]:
        return list(cast(QuerySet[Any], page.object_list).values_list("pk", flat=True))


class SearchPaginator(CappedPaginator):
    """Pages of rows that a filter looks for one by one: once, for the count and the page alike."""

    @cached_property
    def keys(self) -> list[int]:
        return list(self.object_list.values_list("pk", flat=True)[:MAX_COUNTED])

    @cached_property
    def count(self) -> int:
        return len(self.keys)

    def keys_of(self, page: Page) -> list[int]:
        first = (page.number - 1) * self.per_page
        return self.keys[first : first + self.per_page]


def search_end(rows: QuerySet[Any], cursor: int | None = None) -> int | None:
    """Return the id of the MAX_COUNTEDth row below `cursor`; None if there are no more than that.

    Where no index knows which of `rows` a filter chooses, it looks at them down to this id.
    """
    below = rows if cursor is None else rows.filter(pk__lt=cursor)
    last = below.order_by("-id").values_list("pk", flat=True)[MAX_COUNTED - 1 : MAX_COUNTED + 1]
    ids = list(last)
    return ids[0] if len(ids) > 1 else None


class CappedPagination(Pages):
    """Pages of an API's list, of which `count` is MAX_COUNTED if there are more rows.

    `?page=` goes as far as `count`. The last of these pages links to the rows beyond them with
    `?cursor=`, the id of the last row that was seen: the rows must be ordered by descending id.
    The view's `rows_to_search`, if not None, are those among which its filters look one by one.
    Then the pages are those of the newest MAX_COUNTED of these, a cursor goes on with as many, and
    a page may have fewer rows, or none, although `next` goes on.
    """

    django_paginator_class = CappedPaginator
    page: Page
    request: Request
    page_size = PAGE_SIZE
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE

    def get_page_size(self, request: Request) -> int:
        return page_size(request)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self._cursor, searched = _cursor(request), view.rows_to_search()
        if self._cursor is None:
            end = None if searched is None else search_end(searched)
            found = _down_to(queryset, end)
            if searched is not None:
                self.django_paginator_class = SearchPaginator
            rows = cast(list[Any], super().paginate_queryset(found, request, view))
            self._goes_on = end is not None
            self._last_id = end
            is_last = bool(rows) and not self.page.has_next()
            if searched is None and is_last and self.page.paginator.count == MAX_COUNTED:
                self._last_id = rows[-1].pk
                self._goes_on = queryset.filter(pk__lt=self._last_id).exists()
        else:
            if self.page_query_param in request.query_params:
                message = Message(
                    "Send either %(page)s or %(cursor)s, not both.",
                    page=self.page_query_param,
                    cursor=CURSOR,
                )
                raise serializers.ValidationError({CURSOR: message}, "invalid")
            self.request, size = request, self.get_page_size(request)
            first_end = None if searched is None else search_end(searched)
            end = None if searched is None else search_end(searched, self._cursor)
            self._count = CappedPaginator(_down_to(queryset, first_end), size).count
            rows = list(_down_to(queryset, end).filter(pk__lt=self._cursor)[: size + 1])
            is_full = len(rows) > size
            rows = rows[:size]
            self._last_id = rows[-1].pk if is_full else end
            self._goes_on = self._last_id is not None
        return rows

    def get_next_link(self) -> str | None:
        if self._cursor is None and self.page.has_next():
            return cast(str, super().get_next_link())
        if not self._goes_on:
            return None
        url = remove_query_param(self.request.build_absolute_uri(), self.page_query_param)
        return str(replace_query_param(url, CURSOR, self._last_id))

    def get_paginated_response(self, data: Any) -> Response:
        if self._cursor is None:
            return super().get_paginated_response(data)
        links = {"next": self.get_next_link(), "previous": None}
        return Response({"count": self._count, **links, "results": data})

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        [page] = [
            parameter
            for parameter in super().get_schema_operation_parameters(view)
            if parameter["name"] == self.page_query_param
        ]
        goes_on = f"Goes on after {MAX_COUNTED:,} rows; taken from `next`."
        return [
            page,
            _parameter(*PAGE_SIZE_PARAMETER),
            _parameter(CURSOR, goes_on, CURSOR_SCHEMA),
        ]


class CursorPages(pagination.BasePagination):
    """Pages without numbers: `next` leads to the next one with `?cursor=`.

    The cursor is the id of the last row that was seen: the rows must be ordered by descending id.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        size = page_size(request)
        rows = list(after_cursor(queryset, request)[: size + 1])
        self._next = None
        if len(rows) > size:
            rows = rows[:size]
            self._next = replace_query_param(request.build_absolute_uri(), CURSOR, rows[-1].pk)
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self._next, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        example = f"https://champipy.example.org/api/v1/observations?{CURSOR}=123"
        link = {"type": ["string", "null"], "format": "uri", "example": example}
        return {
            "type": "object",
            "required": ["next", "results"],
            "properties": {"next": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [_parameter(*PAGE_SIZE_PARAMETER), _parameter(CURSOR, "From `next`.", CURSOR_SCHEMA)]


def after_cursor(rows: QuerySet[Any], request: Request) -> QuerySet[Any]:
    """Return the rows that come after the request's cursor, or all if it has none.

    They are ordered by descending id. Raises ValidationError for a malformed cursor.
    """
    cursor = _cursor(request)
    return rows if cursor is None else rows.filter(pk__lt=cursor)


def page_size(request: Request) -> int:
    """Return how many rows a page has; raise ValidationError if `?page_size=` is malformed."""
    text = request.query_params.get("page_size", str(PAGE_SIZE))
    if not re.fullmatch("[0-9]{1,3}", text) or not 1 <= int(text) <= MAX_PAGE_SIZE:
        message = Message(
            "Give a whole number from %(minimum)d to %(maximum)d.",
            minimum=1,
            maximum=MAX_PAGE_SIZE,
        )
        raise serializers.ValidationError({"page_size": message}, "invalid")
    return int(text)


def _down_to(rows: QuerySet[Any], end: int | None) -> QuerySet[Any]:
    return rows if end is None else rows.filter(pk__gte=end)


def _cursor(request: Request) -> int | None:
    text = request.query_params.get(CURSOR)
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,19}", text) or int(text) > MAX_ID:
        message = gettext("This is no cursor. Take the address in `next` as it is.")
        raise serializers.ValidationError({CURSOR: message}, "invalid")
    return int(text)


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema,
    }
