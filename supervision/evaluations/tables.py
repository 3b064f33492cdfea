"""Tables of evaluations and shadows as plain rows, for spreadsheets: shares are from 0 to 1."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from supervision.evaluations.shadow import ShadowPhoto, ShadowReport, Share

Metrics = Mapping[str, Any]
Table = tuple[Sequence[str], Iterable[Sequence[Any]]]
"""Names of the columns, and rows."""


def _species(metrics: Metrics, labels: Sequence[str]) -> Table:
    rows = (
        (row["species"], row["n"], row["accuracy"], *(row.get("ci95") or ("", "")))
        for row in metrics["per_species"]
    )
    return ("species", "photos", "accuracy", "low", "high"), rows


def _sizes(metrics: Metrics, labels: Sequence[str]) -> Table:
    rows = (
        (row["above"], row["up_to"], row["n"], row["accuracy"], *row["ci95"])
        for row in metrics.get("per_size", ())
    )
    return ("above_pixels", "up_to_pixels", "photos", "accuracy", "low", "high"), rows


def _reliability(metrics: Metrics, labels: Sequence[str]) -> Table:
    rows = (
        (number, row["confidence"], row["n"], row["accuracy"], *row["ci95"])
        for number, row in enumerate(metrics.get("reliability", ()))
    )
    return ("bin", "mean_score", "photos", "accuracy", "low", "high"), rows


def _confusion(metrics: Metrics, labels: Sequence[str]) -> Table:
    rows = zip(labels, metrics.get("confusion", ()), strict=False)
    return ("true_species", *labels), ((name, *counts) for name, counts in rows)


def _genera(metrics: Metrics, labels: Sequence[str]) -> Table:
    rows = (
        (row["genus"], row["n"], row["passed"], row["auroc"]["value"])
        for row in (metrics.get("scope") or {}).get("per_genus", ())
    )
    return ("genus", "photos", "passed", "auroc"), rows


def _answers(metrics: Metrics, labels: Sequence[str]) -> Table:
    return ("figure", "value", "low", "high", "photos"), _answer_rows(metrics)


def _answer_rows(metrics: Metrics) -> Iterable[Sequence[Any]]:
    if "plausible" not in metrics:
        return
    scope, plausible = metrics["scope"], metrics["plausible"]
    if area := scope["auroc"]:
        yield ("scope_auroc", area["value"], *area["ci95"], area["n_other"])
    for name in ("kept", "passed"):
        if row := scope[name]:
            yield (f"scope_{name}", row["share"], *row["ci95"], row["n"])
    yield ("plausible_coverage", plausible["coverage"], *plausible["ci95"], plausible["n"])
    yield ("plausible_mean_number", plausible["mean_set_size"], "", "", plausible["n"])
    verdicts = metrics["verdicts"]["random"]
    for name in ("supported", "contradicted"):
        row = verdicts[name]
        bounds = row["ci95"] if row["precision"] is not None else ("", "")
        yield (f"{name}_precision", row["precision"], *bounds, row["n"])
    yield ("names_with_a_verdict", verdicts["covered"]["share"], "", "", verdicts["n_photos"])


FIGURE_TABLES: Mapping[str, Callable[[Metrics, Sequence[str]], Table]] = {
    "species": _species,
    "sizes": _sizes,
    "reliability": _reliability,
    "confusion": _confusion,
    "genera": _genera,
    "answers": _answers,
    "out-of-fold": _answers,
}
"""By name: returns a table of metrics, as Evaluation.metrics, of a version with these labels."""
NONE = "none"
"""What a table has instead of a species where a version says that it is none of its species."""


def _shadow_changes(report: ShadowReport, shown: Sequence[ShadowPhoto]) -> Table:
    rows = ((change, *_share_cells(share)) for change, share in report.by_change)
    return ("change", "photos", "of", "share", "low", "high"), rows


def _shadow_answers(report: ShadowReport, shown: Sequence[ShadowPhoto]) -> Table:
    rows = ((name or NONE, *_share_cells(share)) for name, share in report.by_answer)
    return (f"{report.production} answered", "otherwise", "of", "share", "low", "high"), rows


def _shadow_photos(report: ShadowReport, shown: Sequence[ShadowPhoto]) -> Table:
    columns = [
        f"{version} {what}"
        for version in (report.version, report.production)
        for what in ("answered", "percent")
    ]
    rows = (
        (
            *(photo.photo_id, photo.change),
            *(photo.candidate.name or NONE, photo.candidate.confidence),
            *(photo.current.name or NONE, photo.current.confidence),
        )
        for photo in shown
    )
    return ("photo", "change", *columns), rows


def _share_cells(share: Share) -> Sequence[float]:
    low, high = share.interval
    return share.count, share.n, share.count / share.n, low / 100, high / 100


SHADOW_TABLES: Mapping[str, Callable[[ShadowReport, Sequence[ShadowPhoto]], Table]] = {
    "changes": _shadow_changes,
    "answers": _shadow_answers,
    "photos": _shadow_photos,
}
"""By name: returns a table of a shadow, of which the page shows these photos."""
