"""Pages of lists. Counting stops at MAX_COUNTED rows in those of long tables."""

import re
from typing import Any, cast

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property
from rest_framework import pagination, serializers
from rest_framework.request import Request

MAX_COUNTED = 10_000


class Pages(pagination.PageNumberPagination):
    """Pages by their number: digits only. Other texts are a 400, a page that is missing a 404."""

    def get_page_number(self, request: Request, paginator: Any) -> str:
        number = request.query_params.get(self.page_query_param, "1")
        if not re.fullmatch(r"[0-9]{1,9}", number):
            message = "A valid integer is required."
            raise serializers.ValidationError({self.page_query_param: message}, code="invalid")
        return str(number)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        [page] = super().get_schema_operation_parameters(view)
        return [{**page, "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999}}]


class CappedPaginator(Paginator):
    """Pages of the first MAX_COUNTED rows. Counting all rows would read the whole table."""

    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        """Return the number of rows, or MAX_COUNTED if there are more."""
        return self.object_list.order_by().values("pk")[:MAX_COUNTED].count()

    def page(self, number: int | str) -> Page:
        """Return a page. Rows before it are skipped by their keys, without what is joined."""
        page: Page = super().page(number)
        keys = cast(QuerySet[Any], page.object_list).select_related(None).values("pk")
        page.object_list = self.object_list.filter(pk__in=keys)
        return page


class CappedPagination(Pages):
    """Pages of an API's list, of which `count` is MAX_COUNTED if there are more rows."""

    django_paginator_class = CappedPaginator
