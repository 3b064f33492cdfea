"""Admin page of predictions. Photos have theirs in `supervision`, where they are reviewed."""

import re
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from common.admin import ReadOnlyAdmin
from common.paging import MAX_COUNTED, CappedPaginator
from predictions.errors import FAILURES
from predictions.models import Prediction
from predictions.selectors import answered_predictions
from predictions.verdicts import verdict_sentence


class ErrorFilter(admin.SimpleListFilter):
    """Filters by error code. Django's own filter would read the codes from the whole table."""

    title = "error code"
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, code) for code in FAILURES]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(error_code=self.value()) if self.value() else queryset


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    list_display = ("id", "user", "file", "status", "error_code", "best", "reused", "created_at")
    list_filter = ("status", ErrorFilter, "reused")
    search_fields = ("sha256",)
    search_help_text = (
        "The photo's SHA-256, or its first characters. "
        f"Of more than {MAX_COUNTED:,} predictions the newest {MAX_COUNTED:,} are listed."
    )
    fields = (
        *("user", "file", "status", "error_code", "error_detail", "picture", "scores"),
        *("proposed", "judged"),
        *("reused", "sha256", "nb_preds", "attempts", "created_at", "finished_at"),
        "request_id",
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

    @admin.display(description="answer")
    def best(self, prediction: Prediction) -> str:
        inference = prediction.inference
        if inference is None:
            return ""
        best = f"{inference.best_species} {inference.best_score:.2f} %"
        return f"none of its species; the likeliest: {best}" if inference.scope_sentence else best

    @admin.display(description="photo")
    def picture(self, prediction: Prediction) -> str:
        if prediction.inference is None:
            return "No photo was scored."
        photo_id = prediction.inference.photo_id
        return format_html(
            '<a href="{}"><img src="{}" alt="Photo {}"></a>',
            reverse("admin:predictions_photo_change", args=[photo_id]),
            reverse("admin:predictions_photo_thumbnail", args=[photo_id]),
            photo_id,
        )

    @admin.display(description="verdict")
    def judged(self, prediction: Prediction) -> str:
        if prediction.verdict is None:
            return ""
        verdict = prediction.verdict
        return f"{verdict['verdict']}: {verdict_sentence(verdict['because'])}"

    @admin.display(description="scores")
    def scores(self, prediction: Prediction) -> str:
        """Return a table of all species with their scores, the highest first."""
        if prediction.inference is None:
            return ""
        version = prediction.inference.model_version
        best = prediction.inference.best(len(version.labels))
        rows = [(species, f"{score:.2f}") for species, score in best]
        sentence, plausible = prediction.inference.scope_sentence, prediction.inference.plausible
        return format_html(
            "{}<p>By {}</p><table><tbody>{}</tbody></table>{}",
            format_html("<p><strong>{}</strong></p>", sentence) if sentence else "",
            version,
            format_html_join("", "<tr><th><i>{}</i></th><td>{} %</td></tr>", rows),
            format_html("<p>Cannot be ruled out: {}</p>", ", ".join(plausible))
            if plausible
            else "",
        )
