"""Admin page of evaluations: their figures, the confusion matrix, and the photos named wrongly."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from predictions.models import Photo
from supervision.evaluations.admin.measured import MeasuredAdmin
from supervision.evaluations.answer_report import speed_text
from supervision.models import Evaluation

MAX_SHOWN = 60
"""Wrong answers on a page, the surest first."""


@admin.register(Evaluation)
class EvaluationAdmin(MeasuredAdmin):
    list_display = ("model_version", "right", "photos", "evaluation_set", "evaluated_at")
    fields = (
        *("model_version", "right", "photos", "by_species", "by_size", "calibration_error"),
        *("reliability", "confusion", "answers_here", "genera_here", "wrong_answers"),
        *("speed", "evaluation_set", "evaluated_at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Evaluation]:
        evaluations = super().get_queryset(request).select_related("model_version")
        return evaluations.defer("model_version__card", "model_version__files", "scopes")

    def metrics_of(self, row: Evaluation) -> dict[str, Any]:
        return dict(row.metrics)

    def labels_of(self, row: Evaluation) -> list[str]:
        return list(row.model_version.labels)

    @admin.display(description="accuracy", ordering="accuracy")
    def right(self, evaluation: Evaluation) -> str:
        return f"{evaluation.accuracy:.1%}"

    @admin.display(description="photos", ordering="n")
    def photos(self, evaluation: Evaluation) -> int:
        return evaluation.n

    @admin.display(description="engine")
    def speed(self, evaluation: Evaluation) -> str:
        return speed_text(evaluation.model_version.metrics, evaluation.ms_per_photo)

    @admin.display(description="wrong answers")
    def wrong_answers(self, evaluation: Evaluation) -> str:
        """Return a table with the photo, its species, the answer and its score."""
        labels = evaluation.model_version.labels
        wrong = [
            (score, sha256, labels[truth], labels[answer])
            for sha256, (truth, answer, score) in evaluation.answers.items()
            if truth != answer
        ]
        if not wrong:
            return "None."
        wrong.sort(reverse=True)
        photos = dict(
            Photo.objects.filter(sha256__in=[row[1] for row in wrong[:MAX_SHOWN]]).values_list(
                "sha256", "pk"
            )
        )
        rows = (
            (_photo_link(photos.get(sha256)), truth, answer, f"{score:.1f} %")
            for score, sha256, truth, answer in wrong[:MAX_SHOWN]
        )
        return format_html(
            "<p>{} of {}, the surest first.</p>"
            '<div class="chart-box"><table class="numbers wrong-answers"><thead><tr><th>photo</th>'
            '<th>shows</th><th>answer</th><th class="number">score</th></tr></thead>'
            "<tbody>{}</tbody></table></div>",
            min(len(wrong), MAX_SHOWN),
            len(wrong),
            format_html_join(
                "",
                '<tr><td class="text">{}</td><td class="text species">{}</td>'
                '<td class="text species">{}</td>'
                "<td>{}</td></tr>",
                rows,
            ),
        )


def _photo_link(pk: int | None) -> str:
    if pk is None:
        return "no longer stored"
    return format_html(
        '<a href="{}"><img src="{}" alt="Photo {}" loading="lazy"></a>',
        reverse("admin:predictions_photo_change", args=[pk]),
        reverse("admin:predictions_photo_thumbnail", args=[pk]),
        pk,
    )
