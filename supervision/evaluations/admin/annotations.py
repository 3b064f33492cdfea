"""Notes and tags on the admin pages of versions and of runs."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, Func, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.admin import ReadOnlyAdmin
from mlmodels.annotation_services import annotate

MAX_NOTE = 5000


class AnnotationForm(forms.Form):
    """A note and tags; `supervision/annotation.html` shows its fields."""

    note = forms.CharField(
        required=False,
        max_length=MAX_NOTE,
        label=gettext_lazy("Note"),
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    tags = forms.CharField(
        required=False,
        max_length=1000,
        label=gettext_lazy("Tags"),
        help_text=gettext_lazy("Separated by commas."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class TagFilter(admin.SimpleListFilter):
    """Filters by one tag. The choices are the tags in use."""

    title = gettext_lazy("tag")
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        tags = model_admin.model.objects.order_by().values_list(Func(F("tags"), function="unnest"))
        return [(tag, tag) for (tag,) in sorted(tags.distinct())]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(tags__contains=[self.value()]) if self.value() else queryset


class AnnotatedAdmin(ReadOnlyAdmin):
    """Page of a row with a note and tags, which an administrator can write."""

    @admin.display(description=gettext_lazy("tags"))
    def tag_list(self, row: Any) -> str:
        return ", ".join(row.tags)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.annotate)
        return [path("<int:pk>/annotate", view, name=self._url("annotate")), *super().get_urls()]

    def annotation_context(self, row: Any) -> dict[str, Any]:
        """Return the form with what is written now, and where it is sent."""
        initial = {"note": row.note, "tags": ", ".join(row.tags)}
        return {
            "annotation": AnnotationForm(initial=initial),
            "annotate_url": reverse(f"admin:{self._url('annotate')}", args=[row.pk]),
        }

    def annotate(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Write the note and the tags of the form, and return to the row's page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, str(pk))
        if row is None:
            raise Http404(f"There is no {self.opts.verbose_name} {pk}.")
        form = AnnotationForm(request.POST)
        try:
            if not form.is_valid():
                raise ValueError(" ".join(map(str, form.errors.values())))
            annotate(row=row, **form.cleaned_data)
        except ValueError as error:
            messages.error(request, _("Nothing was changed: %(error)s") % {"error": error})
        else:
            messages.success(request, _("Note and tags of %(row)s were saved.") % {"row": row})
        return redirect(f"admin:{self._url('change')}", pk)

    def _url(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"
