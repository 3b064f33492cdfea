"""The reliability diagram: how often answers are right, by their score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.utils.safestring import SafeString

from supervision.pictures.svg import BLUE, INK, VERMILION, render_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SCORE: dict[str, Any] = {"color": INK, "linewidth": 1.0, "markersize": 14, "markeredgewidth": 2}


def reliability_svg(bins: Sequence[Mapping[str, Any]]) -> SafeString:
    """Return a chart of mean score and share of right answers, with 95 % intervals.

    `bins` are those of `reliability_bins` as dictionaries, at least one: equally many photos each,
    from the lowest scores to the highest. They stand side by side at equal distances: on an axis of
    scores most of them would lie on one another just below 100 %. A calibrated model's mean scores
    lie within most intervals.
    """
    rows = tuple(
        (100 * row["confidence"], 100 * row["accuracy"], *(100 * bound for bound in row["ci95"]))
        for row in bins
    )
    n = sum(row["n"] for row in bins)
    description = "; ".join(
        f"mean score {score:.1f} %: {right:.1f} % right ({low:.1f} to {high:.1f} %)"
        for score, right, low, high in rows
    )
    return render_svg(
        _draw_reliability,
        (rows, n),
        size=(6.4, 3.0),
        title="Right answers by score",
        description=f"{description}.",
    )


def _draw_reliability(
    figure: Figure, rows: Sequence[tuple[float, float, float, float]], n: int
) -> None:
    axes = figure.subplots()
    places = range(len(rows))
    axes.plot(places, [row[0] for row in rows], "_--", **_SCORE, label="mean best score")
    # Not colour alone: the marker says, too, whether the score lies within the interval.
    kinds = (
        ("right answers", True, "o", BLUE),
        ("right answers, score outside the interval", False, "X", VERMILION),
    )
    for label, is_within, marker, colour in kinds:
        chosen = [
            (place, *row)
            for place, row in enumerate(rows)
            if (row[2] <= row[0] <= row[3]) == is_within
        ]
        if chosen:
            axes.errorbar(
                [place for place, *_ in chosen],
                [right for _, _, right, _, _ in chosen],
                yerr=[
                    [right - low for _, _, right, low, _ in chosen],
                    [high - right for _, _, right, _, high in chosen],
                ],
                fmt=marker,
                color=colour,
                label=label,
                linewidth=1.4,
                markersize=6,
                capsize=3,
                clip_on=False,
            )
    axes.set_xticks(places, [f"{row[0]:.1f}" for row in rows])
    axes.grid(visible=False, axis="x")
    axes.set(ylim=(0, 100), ylabel="right answers (%)")
    axes.set_xlabel(f"mean best score (%) of about {round(n / len(rows))} photos each")
    figure.legend(loc="outside upper right", ncols=3)
