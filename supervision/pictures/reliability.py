"""The reliability diagram: how often answers are right, by their score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from common.messages import Message
from common.wording import format_number
from supervision.pictures.svg import BLUE, INK, VERMILION, ChartLink, render_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SCORE: dict[str, Any] = {"color": INK, "linewidth": 1.0, "markersize": 14, "markeredgewidth": 2}


def reliability_svg(
    bins: Sequence[Mapping[str, Any]], links: tuple[ChartLink, ...] = ()
) -> SafeString:
    """Return a chart of mean score and share of right answers, with 95 % intervals.

    `bins` are those of `reliability_bins` as dictionaries, at least one: equally many photos each,
    from the lowest scores to the highest. They stand side by side at equal distances: on an axis of
    scores most of them would lie on one another just below 100 %. A calibrated model's mean scores
    lie within most intervals. `links`, one for each bin or none, lead to the photos of the bins.
    """
    rows = tuple(
        (100 * row["confidence"], 100 * row["accuracy"], *(100 * bound for bound in row["ci95"]))
        for row in bins
    )
    n = sum(row["n"] for row in bins)
    description = _("; ").join(
        str(
            Message(
                "mean score %(score).1f %%: %(right).1f %% right (%(low).1f to %(high).1f %%)",
                score=score,
                right=right,
                low=low,
                high=high,
            )
        )
        for score, right, low, high in rows
    )
    return render_svg(
        _draw_reliability,
        (rows, n, tuple(link.url for link in links)),
        size=(6.4, 3.0),
        title=_("Right answers by score"),
        description=f"{description}.",
        links=links,
    )


def _draw_reliability(
    figure: Figure,
    rows: Sequence[tuple[float, float, float, float]],
    n: int,
    urls: Sequence[str],
) -> None:
    axes = figure.subplots()
    places = range(len(rows))
    # Wide targets over the whole height; invisible, until one has the focus.
    bars = axes.bar(places, 100, 0.96, alpha=0, zorder=9) if urls else ()
    for bar, url in zip(bars, urls, strict=True):
        bar.set_url(url)
    axes.plot(places, [row[0] for row in rows], "_--", **_SCORE, label=_("mean best score"))
    # Not colour alone: the marker says, too, whether the score lies within the interval.
    kinds = (
        (_("right answers"), True, "o", BLUE),
        (_("right answers, score outside the interval"), False, "X", VERMILION),
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
    axes.set_xticks(places, [format_number(row[0], ".1f") for row in rows])
    axes.grid(visible=False, axis="x")
    axes.set(ylim=(0, 100), ylabel=_("right answers (%)"))
    axes.set_xlabel(
        _("mean best score (%%) of about %(n)d photos each") % {"n": round(n / len(rows))}
    )
    figure.legend(loc="outside upper right", ncols=3)
