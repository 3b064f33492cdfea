"""Parallel coordinates: each trial of a search is a line through its parameters to its result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from common.wording import format_number
from mlmodels.words import parameter_name
from supervision.pictures.svg import BLUE, GREEN, INK, VERMILION, render_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOG_RATIO = 20.0
"""An axis is logarithmic if its largest value is more than so many times its smallest."""

Line = tuple[tuple[float, ...], str]
"""A trial's values, the result last, and its state."""


def parallel_svg(trials: Sequence[Mapping[str, Any]]) -> SafeString:
    """Return a chart of the trials that have all searched parameters; empty if these are too few.

    `trials` is TrainingRun.trials. The last axis is the negative log-likelihood, lowest below; the
    best complete trial has a broad line.
    """
    names = sorted({name for trial in trials for name in trial["parameters"]})
    lines: tuple[Line, ...] = tuple(
        (
            (*(float(trial["parameters"][name]) for name in names), float(trial["nll"])),
            str(trial["state"]),
        )
        for trial in trials
        if all(isinstance(trial["parameters"].get(name), int | float) for name in names)
    )
    if len(lines) < 2 or not names:
        return SafeString("")
    complete = [values for values, state in lines if state == "complete"]
    description = _("%(n)d trials with all parameters.") % {"n": len(lines)}
    if complete:
        best = min(complete, key=lambda values: values[-1])
        shown = ", ".join(
            f"{parameter_name(name)} {format_number(value, '.3g')}"
            for name, value in zip(names, best, strict=False)
        )
        description += " " + _("The best has %(nll)s nats: %(parameters)s.") % {
            "nll": format_number(best[-1], ".3f"),
            "parameters": shown,
        }
    return render_svg(
        _draw_parallel,
        (tuple(names), lines),
        size=(9.6, 3.4),
        title=_("Parameters of the trials"),
        description=description,
    )


def _draw_parallel(figure: Figure, names: Sequence[str], lines: Sequence[Line]) -> None:
    axes = figure.subplots()
    titles = [
        *(parameter_name(name).replace(" ", "\n") for name in names),
        _("negative\nlog-likelihood"),
    ]
    columns = list(zip(*(values for values, _state in lines), strict=True))
    places = range(len(columns))
    scaled = list(zip(*(_scaled(column) for column in columns), strict=True))
    complete = [at for at, (_values, state) in enumerate(lines) if state == "complete"]
    best = min(complete, key=lambda at: lines[at][0][-1], default=None)
    for at, heights in enumerate(scaled):
        if at == best:
            style: dict[str, Any] = {"color": GREEN, "linewidth": 3.4, "zorder": 5}
            label = _("best")
        elif at in complete:
            style, label = {"color": BLUE, "linewidth": 1.1, "alpha": 0.75}, _("completed")
        else:
            style = {"color": VERMILION, "linewidth": 1.1, "linestyle": "--", "alpha": 0.75}
            label = _("stopped early")
        axes.plot(places, heights, marker="o", markersize=3, label=label, **style)
    for place, column in enumerate(columns):
        axes.axvline(place, color=INK, linewidth=0.8, alpha=0.5)
        for height, value, va, gap in ((0, min(column), "top", -6), (1, max(column), "bottom", 6)):
            axes.annotate(
                format_number(value, ".3g"), (place, height), (0, gap), textcoords="offset points",
                ha="center", va=va, fontsize=8,
            )  # fmt: skip
    axes.set(ylim=(-0.12, 1.12), xlim=(-0.4, len(columns) - 0.6), yticks=[])
    axes.set_xticks(places, titles)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    figure.legend(by_label.values(), by_label.keys(), loc="outside upper right", ncols=3)


def _scaled(column: Sequence[float]) -> list[float]:
    """Return the values from 0 to 1; what does not vary is in the middle."""
    low, high = min(column), max(column)
    if low == high:
        return [0.5] * len(column)
    if low > 0 and high / low > LOG_RATIO:
        column = [math.log(value) for value in column]
        low, high = min(column), max(column)
    return [(value - low) / (high - low) for value in column]
