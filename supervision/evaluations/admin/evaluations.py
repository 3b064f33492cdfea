from django.contrib import admin

from common.admin import ReadOnlyAdmin
from supervision.models import Evaluation


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnlyAdmin):
    list_display = ("model_version", "accuracy", "n", "evaluation_set", "evaluated_at")
