"""Words for what a version says of photos besides its scores: scope, plausible sets, verdicts."""

from collections.abc import Mapping
from typing import Any

from mlmodels.ml.reference import group_text

MAX_GENERA = 60
"""Rows of genera, those that pass most often first."""


def answer_rows(metrics: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return pairs of a figure's name and its text, from what `answer_measures.measure` returned.

    None, and metrics that an older ChampiPy stored or of a version without calibration, have none.
    """
    if not metrics or "plausible" not in metrics:
        return []
    scope, plausible = metrics["scope"], metrics["plausible"]
    rows = []
    if area := scope["auroc"]:
        low, high = area["ci95"]
        rows.append(
            (
                "other species told apart (AUROC)",
                f"{area['value']:.3f} ({low:.3f} to {high:.3f}), "
                f"{area['n_other']} photos of others",
            )
        )
    else:
        nothing = "no photos of other species to measure"
        if metrics.get("others_set"):
            nothing = "all photos of other species are of genera that versions learn from"
        rows.append(("other species told apart (AUROC)", nothing))
    rows.append(("photos of its species kept in scope", _share(scope["kept"], "share")))
    if scope["passed"]:
        rows.append(("photos of other species passed", _share(scope["passed"], "share")))
    rows += [
        ("plausible species hold the right one", _share(plausible, "coverage")),
        ("plausible species, mean number", f"{plausible['mean_set_size']:.2f}"),
    ]
    of_random = metrics["verdicts"]["random"]
    for verdict in ("supported", "contradicted"):
        row = of_random[verdict]
        precision = "never said" if row["precision"] is None else _share(row, "precision")
        rows.append((f"names {verdict}, rightly", precision))
    rows.append(("names that get a verdict", f"{of_random['covered']['share']:.1%}"))
    return rows


def genus_rows(metrics: Mapping[str, Any] | None) -> list[tuple[str, str, str, str]]:
    """Return genus, number of photos, share passed and AUROC of each genus of other species.

    What is no fungus has its name instead.
    """
    genera = ((metrics or {}).get("scope") or {}).get("per_genus", [])
    genera = sorted(genera, key=lambda row: (-row["passed"], -row["n"], row["genus"]))
    return [
        (
            group_text(row["genus"]),
            str(row["n"]),
            f"{row['passed']:.0%}",
            f"{row['auroc']['value']:.2f}",
        )
        for row in genera[:MAX_GENERA]
    ]


def answer_lines(metrics: Mapping[str, Any] | None) -> list[str]:
    """Return the figures as lines for a terminal."""
    lines = [f"{name}: {text}" for name, text in answer_rows(metrics)]
    if genera := genus_rows(metrics):
        lines.append("\nother species by genus: photos, passed, AUROC")
        lines += [f"{genus:<32}{n:>5}{passed:>7}{area:>7}" for genus, n, passed, area in genera]
    return lines


def speed_text(version_metrics: Mapping[str, Any], ms_per_photo: float | None) -> str:
    """Return the engine's time per photo and its precision, which the version's card states."""
    precision = version_metrics.get("engine", {}).get("precision", "precision unknown")
    if not ms_per_photo:
        return f"not measured here ({precision})"
    return f"{ms_per_photo:.0f} ms per photo, without decoding ({precision})"


def _share(row: Mapping[str, Any], name: str) -> str:
    low, high = row["ci95"]
    return f"{row[name]:.1%} ({low:.1%} to {high:.1%}) of {row['n']}"
