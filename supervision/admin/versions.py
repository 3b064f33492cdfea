from django.contrib import admin

from mlmodels.admin import ReadOnlyAdmin
from mlmodels.models import ModelVersion, StageTransition


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
