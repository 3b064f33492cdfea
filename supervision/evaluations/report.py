"""Formats an evaluation's figures for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from supervision.evaluations.answer_report import answer_lines


def evaluation_report(metrics: dict, labels: Sequence[str]) -> str:
    """Return the figures as text for a terminal.

    They are accuracy, accuracy by size, calibration, accuracy by species, the confusion matrix, and
    for a version with a calibration what it says of scope, plausible species and names.
    Metrics that an older ChampiPy stored lack some of them.
    """
    low, high = metrics["ci95"]
    lines = [
        f"accuracy {metrics['accuracy']:.1%} of {metrics['n']} photos "
        f"(95 % interval {low:.1%} to {high:.1%})"
    ]
    if alone := metrics.get("without_near_training"):
        low, high = alone["ci95"]
        lines.append(
            f"without photos near training photos: {alone['accuracy']:.1%} of {alone['n']} "
            f"({low:.1%} to {high:.1%})"
        )
    for row in metrics.get("per_size", ()):
        low, high = row["ci95"]
        lines.append(
            f"{size_text(row)}: {row['accuracy']:.1%} of {row['n']} ({low:.1%} to {high:.1%})"
        )
    if calibration := metrics.get("calibration"):
        low, high = calibration["ci95"]
        lines.append(
            f"calibration error without the bias of few photos: {calibration['value']:.1%} "
            f"({low:.1%} to {high:.1%})"
        )
    lines.append(
        f"expected calibration error {metrics['ece']:.1%} (without temperature "
        f"{metrics['ece_uncalibrated']:.1%}), mean best score {metrics['mean_score']:.1%}"
    )
    if metrics.get("reliability"):
        lines.append("\nright answers by mean best score, about equally many photos each")
    for row in metrics.get("reliability", ()):
        low, high = row["ci95"]
        lines.append(
            f"{row['confidence']:>7.1%}: {row['accuracy']:>6.1%} of {row['n']} right "
            f"({low:.1%} to {high:.1%})"
        )
    numbers = "".join(f"{index:>5}" for index in range(1, len(labels) + 1))
    lines.append(f"\n{'true species (row), answer (column)':<36}{numbers}")
    for index, row in enumerate(metrics["confusion"]):
        right = row[index] / sum(row) if sum(row) else 0
        name = f"{index + 1:>2} {labels[index]} {right:.0%}"
        lines.append(f"{name:<36}" + "".join(f"{count or '·':>5}" for count in row))
    if answers := answer_lines(metrics):
        lines += ["", "scope, plausible species and verdicts on the evaluation photos", *answers]
    return "\n".join(lines)


def size_text(row: Mapping[str, Any]) -> str:
    """Return the sizes of an entry of `per_size` in words."""
    if row["up_to"] is None:
        return _("over %(n)d pixels") % {"n": row["above"]}
    if row["above"] == 0:
        return _("up to %(n)d pixels") % {"n": row["up_to"]}
    return _("%(low)d to %(high)d pixels") % {"low": row["above"] + 1, "high": row["up_to"]}
