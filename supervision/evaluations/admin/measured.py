"""The figures that the admin pages of versions and of evaluations both show."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import admin

from common.admin import ReadOnlyAdmin
from supervision.evaluations.admin.figures import (
    answer_table,
    calibration_text,
    confusion_picture,
    genus_table,
    reliability_picture,
    size_table,
    species_table,
)


class MeasuredAdmin(ReadOnlyAdmin):
    """Shows a row's figures, which its subclass finds."""

    class Media:
        css = {"all": ["supervision/admin.css"]}

    def metrics_of(self, row: Any) -> Mapping[str, Any] | None:
        """Return the row's metrics, as Evaluation.metrics."""
        raise NotImplementedError

    def metrics_here(self, row: Any) -> Mapping[str, Any] | None:
        """Return those that were measured on this installation's photos."""
        return self.metrics_of(row)

    def labels_of(self, row: Any) -> Sequence[str]:
        """Return the species of the version that was measured."""
        raise NotImplementedError

    @admin.display(description="calibration error")
    def calibration_error(self, row: Any) -> str:
        return calibration_text(self.metrics_of(row))

    @admin.display(description="accuracy by species")
    def by_species(self, row: Any) -> str:
        return species_table(self.metrics_of(row))

    @admin.display(description="accuracy by size of the photo")
    def by_size(self, row: Any) -> str:
        return size_table(self.metrics_of(row))

    @admin.display(description="right answers by score")
    def reliability(self, row: Any) -> str:
        return reliability_picture(self.metrics_of(row))

    @admin.display(description="confusion matrix")
    def confusion(self, row: Any) -> str:
        return confusion_picture(self.metrics_of(row), self.labels_of(row))

    @admin.display(description="scope, plausible species and verdicts here")
    def answers_here(self, row: Any) -> str:
        return answer_table(self.metrics_here(row))

    @admin.display(description="other species by genus, here")
    def genera_here(self, row: Any) -> str:
        return genus_table(self.metrics_here(row))
