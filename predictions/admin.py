"""Admin page of predictions. Photos have theirs in `supervision`, where they are reviewed."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from common.admin import ReadOnlyAdmin
from predictions.models import Prediction


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    list_display = ("id", "user", "file", "status", "error_code", "best", "reused", "created_at")
    list_filter = ("status", "error_code", "reused")
    search_fields = ("file", "sha256")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prediction]:
        related = ("user", "inference__model_version")
        return super().get_queryset(request).select_related(*related)

    @admin.display(description="answer")
    def best(self, prediction: Prediction) -> str:
        if prediction.inference is None:
            return ""
        species, score = prediction.inference.best(1)[0]
        return f"{species} {score:.2f} %"
