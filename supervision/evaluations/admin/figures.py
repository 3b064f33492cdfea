"""What the admin's pages show of an evaluation's metrics: texts, tables and charts.

Metrics that an older ChampiPy stored lack some entries: these are `NOT_MEASURED`. A figure leads to
its photos where `FigureLinks` has those of an evaluation.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.wording import format_share
from supervision.evaluations.admin.photo_links import PhotoLinks
from supervision.evaluations.answer_report import answer_rows, genus_rows
from supervision.evaluations.report import size_text
from supervision.pictures.svg import ChartLink

NOT_MEASURED = gettext_lazy("not measured")
HEATS = 10
"""Steps of the colour of a cell of the confusion matrix."""


@dataclass(frozen=True)
class FigureLinks:
    """Where the figures of one row lead."""

    tables: str
    """Address of the row's tables as CSV; each is `<name>.csv` below it."""
    photos: PhotoLinks | None = None
    """None if the photos that were measured are not known here."""

    def csv(self, name: str) -> str:
        """Return the address of a table as CSV."""
        return f"{self.tables}{name}.csv"


def accuracy_text(metrics: Mapping[str, Any] | None) -> str:
    """Return the accuracy, its 95 % interval and the number of photos as text."""
    if not metrics:
        return str(NOT_MEASURED)
    return _("%(accuracy)s (%(interval)s) of %(n)s") % {
        "accuracy": format_share(metrics["accuracy"]),
        "interval": interval_text(metrics),
        "n": metrics["n"],
    }


def calibration_text(metrics: Mapping[str, Any] | None) -> str:
    """Return the debiased calibration error and its interval, and the plain one (ECE)."""
    if not metrics:
        return str(NOT_MEASURED)
    ece = f"ECE {format_share(metrics['ece'])}"
    if not (calibration := metrics.get("calibration")):
        return ece
    return f"{format_share(calibration['value'])} ({interval_text(calibration)}); {ece}"


def interval_text(metrics: Mapping[str, Any]) -> str:
    """Return a 95 % interval as text: "61.0 % to 100.0 %"."""
    low, high = metrics["ci95"]
    return _("%(low)s to %(high)s") % {"low": format_share(low), "high": format_share(high)}


def species_table(metrics: Mapping[str, Any] | None, links: FigureLinks) -> str:
    """Return the accuracy for each species as an HTML table."""
    if not metrics:
        return str(NOT_MEASURED)
    photos = links.photos
    rows = (
        (row["species"], photos.species(row["species"]) if photos and row["n"] else "", row)
        for row in metrics["per_species"]
    )
    return _accuracy_table(_("species"), rows, links.csv("species"), is_species=True)


def size_table(metrics: Mapping[str, Any] | None, links: FigureLinks) -> str:
    """Return the accuracy by size of the photos as an HTML table."""
    if not metrics or not metrics.get("per_size"):
        return str(NOT_MEASURED)
    rows = ((size_text(row), "", row) for row in metrics["per_size"])
    return _accuracy_table(_("longer side"), rows, links.csv("sizes"), is_species=False)


def reliability_picture(metrics: Mapping[str, Any] | None, links: FigureLinks) -> str:
    """Return the reliability diagram, whose bars lead to their photos, and its table."""
    from supervision.pictures.reliability import reliability_svg

    if not metrics or not metrics.get("reliability"):
        return str(NOT_MEASURED)
    bins = [
        {
            "score": format_share(row["confidence"]),
            "n": row["n"],
            "right": format_share(row["accuracy"]),
            "interval": interval_text(row),
            "url": links.photos.score_bin(number) if links.photos else "",
        }
        for number, row in enumerate(metrics["reliability"])
    ]
    chart_links = tuple(
        ChartLink(
            each["url"],
            _("%(n)s photos with a mean score of %(score)s, %(right)s right") % each,
        )
        for each in bins
        if each["url"]
    )
    return render_to_string(
        "supervision/figures/reliability.html",
        {
            "picture": reliability_svg(metrics["reliability"], chart_links),
            "bins": bins,
            "csv": links.csv("reliability"),
        },
    )


def confusion_table(
    metrics: Mapping[str, Any] | None, labels: Sequence[str], links: FigureLinks
) -> str:
    """Return the confusion matrix, whose cells lead to their photos, as an HTML table."""
    if not metrics or "confusion" not in metrics:
        return str(NOT_MEASURED)
    rows = []
    for true, counts in zip(labels, metrics["confusion"], strict=True):
        n = sum(counts)
        cells = [
            {
                "answered": answered,
                "count": count,
                "is_right": answered == true,
                "heat": -(-HEATS * count // n) if n else 0,
                "url": links.photos.cell(true, answered) if links.photos and count else "",
            }
            for answered, count in zip(labels, counts, strict=True)
        ]
        right = counts[labels.index(true)]
        url = links.photos.species(true) if links.photos and n else ""
        rows.append({"species": true, "url": url, "cells": cells, "right": right, "n": n})
    return render_to_string(
        "supervision/figures/matrix.html",
        {
            "columns": [
                (name, links.photos.answered(name) if links.photos else "") for name in labels
            ],
            "rows": rows,
            "csv": links.csv("confusion"),
        },
    )


def answer_table(
    metrics: Mapping[str, Any] | None, csv: str, photos: PhotoLinks | None = None
) -> str:
    """Return what a version says of scope, plausible species and names as an HTML table.

    `csv` is the address of the table as CSV. `photos` leads to the photos of other species.
    """
    rows = answer_rows(metrics)
    if not rows:
        return str(NOT_MEASURED)
    context = {"rows": rows, "csv": csv, "photos": _others(metrics, photos)}
    return render_to_string("supervision/figures/answers.html", context)


def genus_table(metrics: Mapping[str, Any] | None, links: FigureLinks) -> str:
    """Return how often photos of each genus of other species pass as an HTML table."""
    rows = [
        (links.photos.genus(genus) if links.photos else "", *row)
        for genus, *row in genus_rows(metrics)
    ]
    if not rows:
        return str(NOT_MEASURED)
    return render_to_string(
        "supervision/figures/genera.html", {"rows": rows, "csv": links.csv("genera")}
    )


def _others(metrics: Mapping[str, Any] | None, photos: PhotoLinks | None) -> list[tuple[str, str]]:
    """Return addresses and texts of the photos of other species; none without any."""
    if photos is None or not metrics or not (metrics.get("scope") or {}).get("passed"):
        return []
    return [
        (photos.others("passed"), _("Photos of others taken for one of its species")),
        (photos.others("held_out"), _("Photos of others held out")),
    ]


def _accuracy_table(
    name: str,
    rows: Iterable[tuple[str, str, Mapping[str, Any]]],
    csv: str,
    *,
    is_species: bool,
) -> str:
    shown = [
        {
            "label": label,
            "url": url,
            "n": row["n"],
            "accuracy": "" if row["accuracy"] is None else format_share(row["accuracy"]),
            "interval": interval_text(row) if row.get("ci95") else "",
        }
        for label, url, row in rows
    ]
    context = {"name": name, "rows": shown, "csv": csv, "is_species": is_species}
    return render_to_string("supervision/figures/accuracy.html", context)
