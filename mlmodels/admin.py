from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from mlmodels.models import ModelVersion, StageTransition, TrainingRun


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows that only services write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "stage", "accuracy_when_made", "created_at", "run")
    list_filter = ("stage", "name")

    @admin.display(description="accuracy when made")
    def accuracy_when_made(self, version: ModelVersion) -> str:
        measured = version.metrics.get("evaluation")
        return f"{measured['accuracy']:.1%} of {measured['n']}" if measured else "not measured"


@admin.register(StageTransition)
class StageTransitionAdmin(ReadOnlyAdmin):
    list_display = ("model_version", "from_stage", "to_stage", "by", "reason", "created_at")


@admin.register(TrainingRun)
class TrainingRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "status", "started_at", "finished_at", "dataset_sha256")
    list_filter = ("kind", "status")
