from django.contrib import admin

from mlmodels.admin import ReadOnlyAdmin
from mlmodels.models import TrainingRun


@admin.register(TrainingRun)
class TrainingRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "status", "started_at", "finished_at", "dataset_sha256")
    list_filter = ("kind", "status")
