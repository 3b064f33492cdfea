"""Admin page of evaluations: the photos named wrongly, and the figures that lead to photos."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.spreadsheets import MAX_ROWS, csv_response
from common.wording import format_share
from supervision.datasets.selectors import evaluation_set_sha256, species_names
from supervision.evaluations.admin.gallery import gallery_context, parse_filter
from supervision.evaluations.admin.measured import MeasuredAdmin
from supervision.evaluations.admin.others_page import others_page
from supervision.evaluations.answer_report import speed_text
from supervision.evaluations.gallery import PhotoFilter, with_photos
from supervision.models import Evaluation

PORTION = 500
"""Photos that are read at a time for a CSV."""


@admin.register(Evaluation)
class EvaluationAdmin(MeasuredAdmin):
    list_display = ("model_version", "right", "photos", "set_in_short", "evaluated_at")
    csv_columns = ("model_version", "accuracy", "photos", "evaluation_set", "evaluated_at")
    figures = (
        *("calibration_error", "reliability", "confusion", "by_species", "by_size"),
        *("answers_here", "genera_here", "speed"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Evaluation]:
        evaluations = super().get_queryset(request).select_related("model_version")
        return evaluations.defer("model_version__card", "model_version__files", "scopes")

    def metrics_of(self, row: Evaluation) -> dict[str, Any]:
        return dict(row.metrics)

    def labels_of(self, row: Evaluation) -> list[str]:
        return list(row.model_version.labels)

    def evaluation_id(self, row: Evaluation) -> int:
        return row.pk

    @admin.display(description=gettext_lazy("accuracy"), ordering="accuracy")
    def right(self, evaluation: Evaluation) -> str:
        return format_share(evaluation.accuracy)

    @admin.display(description=gettext_lazy("photos"), ordering="n")
    def photos(self, evaluation: Evaluation) -> int:
        return evaluation.n

    @admin.display(description=gettext_lazy("evaluation set"), ordering="evaluation_set")
    def set_in_short(self, evaluation: Evaluation) -> str:
        """Return the first characters of the set's hash, which tell sets apart."""
        return evaluation.evaluation_set[:12]

    @admin.display(description=gettext_lazy("engine"))
    def speed(self, evaluation: Evaluation) -> str:
        return speed_text(evaluation.model_version.metrics, evaluation.ms_per_photo)

    def get_urls(self) -> list[URLPattern]:
        photos_csv = path(
            "<int:pk>/photos.csv",
            self.admin_site.admin_view(self.photos_csv),
            name="supervision_evaluation_photos",
        )
        others = path(
            "<int:pk>/others/",
            self.admin_site.admin_view(self.others),
            name="supervision_evaluation_others",
        )
        return [photos_csv, others, *super().get_urls()]

    def object_page(
        self, request: HttpRequest, object_id: str, context: dict[str, Any]
    ) -> HttpResponse:
        """Show the photos that the query asks for (the errors, without one), then the figures."""
        evaluation = self._evaluation(request, object_id)
        chosen = self._filter(request, evaluation)
        version = evaluation.model_version
        present_set = evaluation_set_sha256(version.labels)
        figures = [
            (getattr(self, name).short_description, getattr(self, name)(evaluation))
            for name in self.figures
        ]
        own = {
            "title": _("%(version)s on the evaluation photos") % {"version": version},
            "evaluation": evaluation,
            "version": version,
            "right": round(evaluation.accuracy * evaluation.n),
            "is_present": present_set is not None and present_set[0] == evaluation.evaluation_set,
            "figures": figures,
            "known_species": species_names(),
            "errors_url": self.links(evaluation).photos.errors(),  # type: ignore[union-attr]
            **gallery_context(request, evaluation, chosen),
        }
        context = self.admin_site.each_context(request) | {"opts": self.opts} | own | context
        return TemplateResponse(request, "admin/supervision/evaluation.html", context)

    def others(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Show the photos of other species that the query asks for."""
        evaluation = self._evaluation(request, str(pk))
        context = self.admin_site.each_context(request) | {"opts": self.opts}
        return others_page(request, evaluation, context)

    def photos_csv(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Return all photos that the query asks for as CSV."""
        evaluation = self._evaluation(request, str(pk))
        columns = (
            *("sha256", "photo", "true_species", "answered", "score", "is_right", "score_bin"),
            *("label_now", "label_source", "reviewed_by"),
        )
        rows = _photo_rows(evaluation, self._filter(request, evaluation))
        return csv_response(f"evaluation-{pk}-photos", columns, rows)

    def _evaluation(self, request: HttpRequest, object_id: str) -> Evaluation:
        evaluation = None
        if self.has_view_permission(request):
            evaluation = self.get_object(request, object_id)
        if evaluation is None:
            raise Http404(f"There is no evaluation {object_id}.")
        return evaluation

    def _filter(self, request: HttpRequest, evaluation: Evaluation) -> PhotoFilter:
        bins = len(evaluation.metrics.get("reliability", ()))
        return parse_filter(request.GET, evaluation.model_version.labels, bins)


def _photo_rows(evaluation: Evaluation, chosen: PhotoFilter) -> Iterator[list[Any]]:
    answers = chosen.answers(evaluation)[: MAX_ROWS + 1]
    portion = []
    for answer in answers.iterator(chunk_size=PORTION):
        portion.append(answer)
        if len(portion) == PORTION:
            yield from _cells(portion)
            portion = []
    yield from _cells(portion)


def _cells(answers: list[Any]) -> Iterator[list[Any]]:
    for answer, shown in with_photos(answers):
        photo = shown.photo
        yield [
            *(answer.sha256, photo.pk if photo else "", answer.species, answer.answered),
            *(answer.score, answer.is_right, answer.score_bin, shown.label),
            *((photo.label_source, photo.reviewed_by or "") if photo else ("", "")),
        ]
