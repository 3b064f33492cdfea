"""Admin pages of the evaluation sets: all versions, and the form that freezes a new one."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseNotAllowed,
)
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext

from accounts.models import User
from common.admin import ReadOnlyAdmin
from supervision.datasets.selectors import current_evaluation_set
from supervision.datasets.services import evaluation_set_changes, evaluation_set_freeze
from supervision.models import EvaluationSet


class FreezeForm(forms.Form):
    """The reason for a new version of the evaluation set."""

    reason = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 2}))


@admin.register(EvaluationSet)
class EvaluationSetAdmin(ReadOnlyAdmin):
    change_list_template = "admin/supervision/evaluation_set_list.html"
    list_display = ("kind", "version", "n", "reason", "by", "created_at", "hash")
    list_select_related = ("by",)
    fields = ("kind", "version", "n", "reason", "by", "created_at", "sha256")

    @admin.display(description="SHA-256")
    def hash(self, frozen: EvaluationSet) -> str:
        return f"{frozen.sha256[:12]}…"

    def get_queryset(self, request: HttpRequest) -> QuerySet[EvaluationSet]:
        return super().get_queryset(request).defer("manifest")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        kinds = [
            {
                "kind": kind,
                "current": current_evaluation_set(kind),
                "changes": evaluation_set_changes(kind),
                "form": FreezeForm(prefix=_prefix(kind)),
                "is_other": kind == EvaluationSet.Kind.OTHERS,
            }
            for kind in EvaluationSet.Kind
        ]
        context = {"kinds": kinds}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        freeze = path(
            "freeze/",
            self.admin_site.admin_view(self.freeze),
            name="supervision_evaluationset_freeze",
        )
        return [freeze, *super().get_urls()]

    def freeze(self, request: HttpRequest) -> HttpResponse:
        """Freeze the present evaluation photos of a kind as the next version of its set."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        kind = request.POST.get("kind", EvaluationSet.Kind.SPECIES)
        if kind not in EvaluationSet.Kind:
            return HttpResponseBadRequest(gettext("There is no such kind of evaluation set."))
        form = FreezeForm(request.POST, prefix=_prefix(kind))
        if form.is_valid():
            by, before = cast(User, request.user), current_evaluation_set(kind)
            frozen = evaluation_set_freeze(by=by, reason=form.cleaned_data["reason"], kind=kind)
            if frozen is None:
                messages.warning(
                    request, gettext("Nothing was frozen: there are no evaluation photos.")
                )
            elif frozen == before:
                messages.warning(
                    request,
                    gettext("Nothing was frozen: the evaluation photos are still those of %(set)s.")
                    % {"set": frozen},
                )
            else:
                messages.success(
                    request,
                    gettext("Versions are measured on %(set)s from now on.") % {"set": frozen},
                )
        else:
            messages.error(request, gettext("Nothing was frozen: enter a reason above the button."))
        return redirect("admin:supervision_evaluationset_changelist")


def _prefix(kind: str) -> str | None:
    """Return what the names of a kind's fields begin with: both forms are sent together."""
    return "others" if kind == EvaluationSet.Kind.OTHERS else None
