"""Admin page of predictions. Photos have theirs in `supervision`, where they are reviewed."""

import re
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, time_text, with_listed_count
from common.paging import CappedPaginator
from common.wording import format_share
from predictions.errors import FAILURES
from predictions.models import Prediction
from predictions.selectors import answered_predictions
from predictions.verdicts import VERDICT_LABELS, verdict_sentence


class ErrorFilter(admin.SimpleListFilter):
    """Filters by error code. Django's own filter would read the codes from the whole table."""

    title = _("reason of failure")
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(code, failure.detail) for code, failure in FAILURES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if not self.value():
            return queryset
        return queryset.filter(status=Prediction.Status.FAILED, error_code=self.value())


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    change_form_template = "admin/predictions/prediction.html"
    list_display = ("number", "who", "file", "state", "best", "verdict_words", "asked_at")
    list_filter = ("status", ErrorFilter, "reused")
    search_fields = ("sha256",)
    search_help_text = with_listed_count(
        _(
            "The photo's SHA-256, or its first characters. Of more than {count} predictions the "
            "newest {count} are listed."
        )
    )
    fieldsets = (
        (
            _("The request"),
            {"fields": ("who", "file", "state", "asked_at", "took", "is_reused", "proposed")},
        ),
        (
            _("Technical"),
            {
                "classes": ("collapse",),
                "fields": ("error_code", "sha256", "nb_preds", "attempts", "request_id"),
            },
        ),
    )
    sortable_by = ()
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prediction]:
        return answered_predictions().select_related("user").order_by("-id")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        """Search by the beginning of the SHA-256, which has an index."""
        term = search_term.strip().lower()
        if not term:
            return queryset, False
        if not re.fullmatch("[0-9a-f]{1,64}", term):
            return queryset.none(), False
        return queryset.filter(sha256__startswith=term), False

    def object_page(
        self, request: HttpRequest, object_id: str, context: dict[str, Any]
    ) -> HttpResponse:
        """Show the photo with its answer, then what was asked."""
        prediction = self.get_object(request, object_id)
        own = {"title": gettext("Prediction %(number)s") % {"number": object_id}}
        if prediction is not None:
            own |= answer_context(prediction)
        return super().object_page(request, object_id, own | context)

    @admin.display(description=_("number"))
    def number(self, prediction: Prediction) -> str:
        return str(prediction.pk)

    @admin.display(description=_("asked by"))
    def who(self, prediction: Prediction) -> str:
        if prediction.is_background:
            return gettext("ChampiPy itself")
        return str(prediction.user or gettext("the terminal, or a deleted user"))

    @admin.display(description=_("status"))
    def state(self, prediction: Prediction) -> str:
        if prediction.status == Prediction.Status.FAILED:
            return gettext("failed: %(reason)s") % {"reason": prediction.error_detail}
        return str(prediction.get_status_display())

    @admin.display(description=_("answer"))
    def best(self, prediction: Prediction) -> str:
        inference = prediction.inference
        if inference is None:
            return ""
        score = format_share(inference.best_score / 100)
        best = format_html('<i lang="la">{}</i> {}', inference.best_species, score)
        if inference.in_scope is not False:
            return best
        return format_html(gettext("none of its species; the likeliest: {}"), best)

    @admin.display(description=_("verdict on the proposed name"))
    def verdict_words(self, prediction: Prediction) -> str:
        if prediction.verdict is None:
            return ""
        label = VERDICT_LABELS[prediction.verdict["verdict"]]
        return format_html('<i lang="la">{}</i>: {}', prediction.proposed, label)

    @admin.display(description=_("asked at"))
    def asked_at(self, prediction: Prediction) -> str:
        return time_text(prediction.created_at)

    @admin.display(description=_("answered after"))
    def took(self, prediction: Prediction) -> str:
        if prediction.finished_at is None:
            return ""
        seconds = (prediction.finished_at - prediction.created_at).total_seconds()
        return gettext("%(seconds)s seconds") % {"seconds": number_format(seconds, 1)}

    @admin.display(description=_("known photo"), boolean=True)
    def is_reused(self, prediction: Prediction) -> bool:
        return prediction.reused


def answer_context(prediction: Prediction) -> dict[str, Any]:
    """Return what the page tells of the answer: `answer` and `verdict`, None if there is none."""
    verdict, inference = prediction.verdict, prediction.inference
    return {
        "verdict": verdict
        and {
            "kind": verdict["verdict"],
            "label": VERDICT_LABELS[verdict["verdict"]],
            "score": verdict["score"],
            "reason": verdict_sentence(verdict["because"]),
        },
        "answer": inference
        and {
            "photo_id": inference.photo_id,
            "has_photo": bool(inference.photo.file),
            "version": inference.model_version,
            "known": len(inference.model_version.labels),
            "is_none": inference.in_scope is False,
            "scope": inference.scope_score,
            "best": inference.best(1)[0],
            "scores": inference.best(len(inference.model_version.labels)),
            "plausible": inference.plausible,
        },
    }
