"""Two versions side by side: figures, species, and the photos that they answer differently."""

from collections.abc import Callable, Mapping
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.wording import format_share
from mlmodels.models import ModelVersion
from supervision.evaluations.admin.figures import NOT_MEASURED, calibration_text, interval_text
from supervision.evaluations.comparison import (
    PairedComparison,
    compare_answers,
    disagreements,
    species_rows,
)
from supervision.evaluations.gallery import shown_photos
from supervision.evaluations.selectors import VersionFigures

PER_PAGE = 36
"""Photos on a page of those that are answered differently."""


def figures_context(first: VersionFigures, second: VersionFigures | None) -> dict[str, Any]:
    """Return the figures of two versions, as `supervision/side_by_side.html` shows them.

    `second` None: there is nothing to compare `first` with.
    """
    return {
        "first": first.version,
        "second": second.version if second else None,
        "rows": [
            (name, figure(first), figure(second) if second else "") for name, figure in FIGURES
        ],
        "species": species_rows(first, second),
        "tables": tables_address(first.version, second.version) if second else "",
    }


def tables_address(first: ModelVersion, second: ModelVersion) -> str:
    """Return the address of the tables of two versions as CSV; a table's name completes it."""
    page = reverse("admin:mlmodels_modelversion_compare")
    return f"{page}?a={first.pk}&b={second.pk}&csv="


def photos_context(
    first: VersionFigures, second: VersionFigures, *, right: str = "", page: int = 1
) -> dict[str, Any]:
    """Return a page of the photos that two versions answer differently, and how many there are.

    `right` is one of `WHO_IS_RIGHT`, or empty for all. Empty if one of both was not evaluated here.
    """
    if first.evaluation is None or second.evaluation is None:
        return {}
    paired = compare_answers(first.evaluation, second.evaluation)
    counts = disagreement_counts(paired)
    pages = max(1, -(-counts[right] // PER_PAGE))
    page = min(max(1, page), pages)
    rows = disagreements(
        first.evaluation,
        second.evaluation,
        right=right,
        limit=PER_PAGE,
        offset=PER_PAGE * (page - 1),
    )
    photos = shown_photos(row.sha256 for row in rows)
    return {
        "paired": paired,
        "paired_summary": paired.in_words(first.version, second.version),
        "counts": counts,
        "right": right,
        "disagreements": [(photos[row.sha256].photo, row) for row in rows],
        "page": page,
        "pages": pages,
    }


def disagreement_counts(paired: PairedComparison) -> dict[str, int]:
    """Return how many photos are answered differently, by who is right; "" stands for all."""
    return {
        "": paired.n_disagreements,
        "candidate": paired.only_candidate,
        "current": paired.only_current,
        "neither": paired.both_wrong_differently,
    }


def _accuracy(metrics: Mapping[str, Any] | None) -> str:
    if not metrics:
        return str(NOT_MEASURED)
    return _("%(accuracy)s (%(interval)s), %(right)s of %(n)s") % {
        "accuracy": format_share(metrics["accuracy"]),
        "interval": interval_text(metrics),
        "right": metrics["correct"],
        "n": metrics["n"],
    }


def _of_metrics(text: Callable[[Mapping[str, Any]], str]) -> Callable[[VersionFigures], str]:
    """Return a function that formats a version's metrics with `text`."""
    return lambda figures: text(figures.metrics) if figures.metrics else str(NOT_MEASURED)


def _near_training(figures: VersionFigures) -> str:
    if not figures.metrics:
        return ""
    return _("%(near)s of %(n)s") % {"near": figures.near_training, "n": figures.metrics["n"]}


def _speed(figures: VersionFigures) -> str:
    if figures.evaluation and figures.evaluation.ms_per_photo:
        return f"{figures.evaluation.ms_per_photo:.0f} ms"
    return _("not measured here")


def _score_and_accuracy(metrics: Mapping[str, Any]) -> str:
    return f"{format_share(metrics['mean_score'])}, {format_share(metrics['accuracy'])}"


FIGURES: list[tuple[Any, Callable[[VersionFigures], str]]] = [
    (gettext_lazy("accuracy (95 % interval)"), _of_metrics(_accuracy)),
    (
        gettext_lazy("without photos near training photos"),
        _of_metrics(lambda metrics: _accuracy(metrics.get("without_near_training"))),
    ),
    (gettext_lazy("evaluation photos near training photos"), _near_training),
    (
        gettext_lazy("calibration error (95 % interval)"),
        lambda figures: calibration_text(figures.metrics),
    ),
    (
        gettext_lazy("mean best score, and accuracy"),
        _of_metrics(_score_and_accuracy),
    ),
    (gettext_lazy("engine time per photo, one thread"), _speed),
    (gettext_lazy("source of the figures"), lambda figures: str(figures.source)),
]
"""Rows of the comparison: a name, and a function that formats a version's figure."""
