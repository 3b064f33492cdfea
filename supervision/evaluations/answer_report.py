"""Words for what a version says of photos besides its scores: scope, plausible sets, verdicts."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from common.messages import Message
from common.wording import format_number, format_share
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
                _("other species told apart (AUROC)"),
                str(
                    Message(
                        "%(value).3f (%(low).3f to %(high).3f), %(n)d photos of others",
                        value=area["value"],
                        low=low,
                        high=high,
                        n=area["n_other"],
                    )
                ),
            )
        )
    else:
        nothing = _("no photos of other species to measure")
        if metrics.get("others_set"):
            nothing = _("all photos of other species are of genera that versions learn from")
        rows.append((_("other species told apart (AUROC)"), nothing))
    rows.append((_("photos of its species kept in scope"), _share(scope["kept"], "share")))
    if scope["passed"]:
        rows.append((_("photos of other species passed"), _share(scope["passed"], "share")))
    rows += [
        (_("plausible species hold the right one"), _share(plausible, "coverage")),
        (_("plausible species, mean number"), format_number(plausible["mean_set_size"], ".2f")),
    ]
    of_random = metrics["verdicts"]["random"]
    names = {
        "supported": _("names supported, rightly"),
        "contradicted": _("names contradicted, rightly"),
    }
    for verdict, name in names.items():
        row = of_random[verdict]
        precision = _("never said") if row["precision"] is None else _share(row, "precision")
        rows.append((name, precision))
    rows.append((_("names that get a verdict"), format_share(of_random["covered"]["share"])))
    return rows


def genus_rows(metrics: Mapping[str, Any] | None) -> list[tuple[str, str, str, str, str]]:
    """Return each genus of other species as stored and as people read it, with its figures.

    These are the number of photos, the share that passed and the AUROC. What is no fungus has its
    name instead of a genus.
    """
    genera = ((metrics or {}).get("scope") or {}).get("per_genus", [])
    genera = sorted(genera, key=lambda row: (-row["passed"], -row["n"], row["genus"]))
    return [
        (
            row["genus"],
            _(group_text(row["genus"])),
            str(row["n"]),
            f"{100 * row['passed']:.0f}\N{NO-BREAK SPACE}%",
            format_number(row["auroc"]["value"], ".2f"),
        )
        for row in genera[:MAX_GENERA]
    ]


def answer_lines(metrics: Mapping[str, Any] | None) -> list[str]:
    """Return the figures as lines for a terminal."""
    lines = [f"{name}: {text}" for name, text in answer_rows(metrics)]
    if genera := genus_rows(metrics):
        lines.append("\n" + _("other species by genus: photos, passed, AUROC"))
        lines += [
            f"{genus:<32}{n:>5}{passed:>7}{area:>7}" for stored, genus, n, passed, area in genera
        ]
    return lines


def speed_text(version_metrics: Mapping[str, Any], ms_per_photo: float | None) -> str:
    """Return the engine's time per photo and its precision, which the version's card states."""
    precision = version_metrics.get("engine", {}).get("precision", _("precision unknown"))
    if not ms_per_photo:
        return _("not measured here (%(precision)s)") % {"precision": precision}
    return _("%(ms).0f ms per photo, without decoding (%(precision)s)") % {
        "ms": ms_per_photo,
        "precision": precision,
    }


def _share(row: Mapping[str, Any], name: str) -> str:
    low, high = row["ci95"]
    return _("%(share)s (%(low)s to %(high)s) of %(n)d") % {
        "share": format_share(row[name]),
        "low": format_share(low),
        "high": format_share(high),
        "n": row["n"],
    }
