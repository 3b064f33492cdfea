"""Pages of long tables: counting stops at MAX_COUNTED rows, whatever the table holds."""

from typing import Any, cast

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

from common.api import Pages

MAX_COUNTED = 10_000


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
