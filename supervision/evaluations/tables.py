"""The tables of an evaluation's figures as plain rows, for spreadsheets: shares are from 0 to 1."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

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


FIGURE_TABLES: Mapping[str, Callable[[Metrics, Sequence[str]], Table]] = {
    "species": _species,
    "sizes": _sizes,
    "reliability": _reliability,
    "confusion": _confusion,
    "genera": _genera,
}
"""By name: returns a table of metrics, as Evaluation.metrics, of a version with these labels."""
