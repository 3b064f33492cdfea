"""The figures that the admin pages of versions and of evaluations both show."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin
from common.spreadsheets import csv_response
from supervision.evaluations.admin.figures import (
    FigureLinks,
    answer_table,
    calibration_text,
    confusion_table,
    genus_table,
    reliability_picture,
    size_table,
    species_table,
)
from supervision.evaluations.admin.photo_links import PhotoLinks
from supervision.evaluations.tables import FIGURE_TABLES


class MeasuredAdmin(ReadOnlyAdmin):
    """Shows a row's figures, which its subclass finds, and sends their tables as CSV."""

    class Media:
        css = {"all": ["supervision/admin.css", "supervision/figures.css"]}

    def metrics_of(self, row: Any) -> Mapping[str, Any] | None:
        """Return the row's metrics, as Evaluation.metrics."""
        raise NotImplementedError

    def metrics_here(self, row: Any) -> Mapping[str, Any] | None:
        """Return those that were measured on this installation's photos."""
        return self.metrics_of(row)

    def metrics_of_table(self, row: Any, name: str) -> Mapping[str, Any] | None:
        """Return the metrics that a table, one of FIGURE_TABLES, is made of."""
        return self.metrics_of(row)

    def labels_of(self, row: Any) -> Sequence[str]:
        """Return the species of the version that was measured."""
        raise NotImplementedError

    def evaluation_id(self, row: Any) -> int | None:
        """Return the evaluation that has the answers behind the metrics; None: there is none."""
        raise NotImplementedError

    def links(self, row: Any) -> FigureLinks:
        """Return where the row's figures lead."""
        evaluation_id = self.evaluation_id(row)
        tables = reverse(f"admin:{self._table_name}", args=[row.pk, "species"])
        return FigureLinks(
            tables.removesuffix("species.csv"),
            PhotoLinks(evaluation_id) if evaluation_id is not None else None,
        )

    @admin.display(description=_("calibration error"))
    def calibration_error(self, row: Any) -> str:
        return calibration_text(self.metrics_of(row))

    @admin.display(description=_("accuracy by species"))
    def by_species(self, row: Any) -> str:
        return species_table(self.metrics_of(row), self.links(row))

    @admin.display(description=_("accuracy by size of the photo"))
    def by_size(self, row: Any) -> str:
        return size_table(self.metrics_of(row), self.links(row))

    @admin.display(description=_("right answers by score"))
    def reliability(self, row: Any) -> str:
        return reliability_picture(self.metrics_of(row), self.links(row))

    @admin.display(description=_("confusion matrix"))
    def confusion(self, row: Any) -> str:
        return confusion_table(self.metrics_of(row), self.labels_of(row), self.links(row))

    @admin.display(description=_("scope, plausible species and verdicts here"))
    def answers_here(self, row: Any) -> str:
        links = self.links(row)
        return answer_table(self.metrics_here(row), links.csv("answers"), links.photos)

    @admin.display(description=_("other species by genus, here"))
    def genera_here(self, row: Any) -> str:
        return genus_table(self.metrics_here(row), self.links(row))

    @property
    def _table_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_table"

    def get_urls(self) -> list[URLPattern]:
        table = path(
            "<int:pk>/tables/<slug:name>.csv",
            self.admin_site.admin_view(self.table),
            name=self._table_name,
        )
        return [table, *super().get_urls()]

    def table(self, request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
        """Return one table of a row's figures as CSV."""
        row = self.get_object(request, str(pk)) if self.has_view_permission(request) else None
        metrics = self.metrics_of_table(row, name) if row is not None else None
        if not metrics or name not in FIGURE_TABLES:
            raise Http404(f"There is no table {name!r} of {self.opts.verbose_name} {pk}.")
        columns, rows = FIGURE_TABLES[name](metrics, self.labels_of(row))
        return csv_response(f"{self.opts.model_name}-{pk}-{name}", columns, rows)
