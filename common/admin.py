"""Base class of the read-only admin pages. Those of versions and runs are in `supervision`."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse


class ReadOnlyAdmin(admin.ModelAdmin):
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
