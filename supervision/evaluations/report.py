"""Formats an evaluation's figures for a terminal."""

from collections.abc import Sequence


def evaluation_report(metrics: dict, labels: Sequence[str]) -> str:
    """Return the figures as text for a terminal: accuracy, per species, confusion matrix."""
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
    lines.append(
        f"calibration error {metrics['ece']:.1%} (without temperature "
        f"{metrics['ece_uncalibrated']:.1%}), mean best score {metrics['mean_score']:.1%}"
    )
    numbers = "".join(f"{index:>5}" for index in range(1, len(labels) + 1))
    lines.append(f"\n{'true species (row), answer (column)':<36}{numbers}")
    for index, row in enumerate(metrics["confusion"]):
        right = row[index] / sum(row) if sum(row) else 0
        name = f"{index + 1:>2} {labels[index]} {right:.0%}"
        lines.append(f"{name:<36}" + "".join(f"{count or '·':>5}" for count in row))
    return "\n".join(lines)
