"""Names of permissions in the active language: Django stores them in English."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.models import Group, Permission
from django.db.models import ManyToManyField
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

ACTIONS = {
    "add": _("may add"),
    "change": _("may change"),
    "delete": _("may delete"),
    "view": _("may view"),
}
"""What people read for the first word of a permission's code."""


def permission_name(permission: Permission) -> str:
    """Return what a permission allows: "predictions | photo | may view"."""
    action = permission.codename.partition("_")[0]
    return f"{permission.content_type} | {ACTIONS.get(action, permission.name)}"


class PermissionNamesAdmin(admin.ModelAdmin):
    """Names the permissions in a form."""

    def formfield_for_manytomany(
        self, db_field: ManyToManyField, request: HttpRequest | None, **kwargs: Any
    ) -> Any:
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[arg-type]
        if db_field.related_model is Permission and field is not None:
            field.label_from_instance = permission_name
        return field


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(PermissionNamesAdmin, DjangoGroupAdmin):  # type: ignore[misc]
    """Groups of users."""
