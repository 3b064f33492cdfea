"""What the admin's pages show of an evaluation's metrics: texts, tables and charts.

Metrics that an older ChampiPy stored lack some entries: these are `NOT_MEASURED`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils.html import format_html, format_html_join

from supervision.evaluations.answer_report import answer_rows, genus_rows
from supervision.evaluations.report import size_text

NOT_MEASURED = "not measured"


def accuracy_text(metrics: Mapping[str, Any] | None) -> str:
    """Return the accuracy, its 95 % interval and the number of photos as text."""
    if not metrics:
        return NOT_MEASURED
    return f"{metrics['accuracy']:.1%} ({_interval(metrics)}) of {metrics['n']}"


def calibration_text(metrics: Mapping[str, Any] | None) -> str:
    """Return the debiased calibration error and its interval, and the plain one (ECE)."""
    if not metrics:
        return NOT_MEASURED
    ece = f"{metrics['ece']:.1%}"
    if not (calibration := metrics.get("calibration")):
        return f"ECE {ece}"
    return f"{calibration['value']:.1%} ({_interval(calibration)}); ECE {ece}"


def species_table(metrics: Mapping[str, Any] | None) -> str:
    """Return the accuracy for each species as an HTML table."""
    if not metrics:
        return NOT_MEASURED
    rows = ((row["species"], row) for row in metrics["per_species"])
    return _accuracy_table("species", "species", rows)


def size_table(metrics: Mapping[str, Any] | None) -> str:
    """Return the accuracy by size of the photos as an HTML table."""
    if not metrics or not metrics.get("per_size"):
        return NOT_MEASURED
    rows = ((size_text(row), row) for row in metrics["per_size"])
    return _accuracy_table("longer side", "", rows)


def reliability_picture(metrics: Mapping[str, Any] | None) -> str:
    """Return the reliability diagram in its box."""
    from supervision.pictures.reliability import reliability_svg

    if not metrics or not metrics.get("reliability"):
        return NOT_MEASURED
    picture = reliability_svg(metrics["reliability"])
    return format_html('<div class="chart-box reliability">{}</div>', picture)


def confusion_picture(metrics: Mapping[str, Any] | None, labels: Sequence[str]) -> str:
    """Return the confusion matrix in its box."""
    from supervision.pictures.charts import confusion_matrix_svg

    if not metrics or "confusion" not in metrics:
        return NOT_MEASURED
    picture = confusion_matrix_svg(metrics["confusion"], labels)
    return format_html('<div class="chart-box matrix">{}</div>', picture)


def answer_table(metrics: Mapping[str, Any] | None) -> str:
    """Return what a version says of scope, plausible species and names as an HTML table."""
    rows = answer_rows(metrics)
    if not rows:
        return NOT_MEASURED
    return format_html(
        '<table class="numbers"><tbody>{}</tbody></table>',
        format_html_join("", '<tr><th>{}</th><td class="text">{}</td></tr>', rows),
    )


def genus_table(metrics: Mapping[str, Any] | None) -> str:
    """Return how often photos of each genus of other species pass as an HTML table."""
    rows = genus_rows(metrics)
    if not rows:
        return NOT_MEASURED
    return format_html(
        '<div class="chart-box"><table class="numbers"><thead><tr><th>genus</th><th>photos</th>'
        "<th>passed</th><th>AUROC</th></tr></thead><tbody>{}</tbody></table></div>",
        format_html_join(
            "",
            '<tr><th class="species">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>',
            rows,
        ),
    )


def _accuracy_table(
    name: str, name_class: str, rows: Iterable[tuple[str, Mapping[str, Any]]]
) -> str:
    cells = (
        (
            name_class,
            label,
            row["n"],
            "" if row["accuracy"] is None else f"{row['accuracy']:.1%}",
            _interval(row) if row.get("ci95") else "",
        )
        for label, row in rows
    )
    return format_html(
        '<table class="numbers"><thead><tr><th>{}</th><th>photos</th><th>right</th>'
        "<th>95 % interval</th></tr></thead><tbody>{}</tbody></table>",
        name,
        format_html_join(
            "",
            '<tr><th class="{}">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>',
            cells,
        ),
    )


def _interval(metrics: Mapping[str, Any]) -> str:
    low, high = metrics["ci95"]
    return f"{low:.1%} to {high:.1%}"
