"""Learning curves of several trainings in one chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from common.wording import format_number, format_share
from supervision.pictures.svg import BLUE, VERMILION, render_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES = (("o-", BLUE), ("s--", VERMILION))
"""Marker, line and colour of each training: not colour alone."""

Curves = tuple[str, tuple[tuple[Any, ...], ...]]
"""The name of a training, and of each epoch its number, loss, accuracy and likelihood."""


def compared_curves_svg(trainings: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> SafeString:
    """Return a chart of loss, accuracy and negative log-likelihood of two trainings, by epoch.

    Each training is its name and its `TrainingRun.history`. Empty if none of them has an epoch:
    a dense layer that was fitted in closed form has none.
    """
    curves: tuple[Curves, ...] = tuple(
        (
            name,
            tuple((row["epoch"], row["loss"], row["accuracy"], row["nll"]) for row in history),
        )
        for name, history in trainings
        if any(row["epoch"] for row in history)
    )
    if not curves:
        return SafeString("")
    description = " ".join(
        _(
            "%(name)s after epoch %(epoch)d: validation accuracy %(accuracy)s, "
            "negative log-likelihood %(nll)s."
        )
        % {
            "name": name,
            "epoch": rows[-1][0],
            "accuracy": format_share(rows[-1][2]),
            "nll": format_number(rows[-1][3], ".3f"),
        }
        for name, rows in curves
    )
    return render_svg(
        _draw_compared,
        (curves,),
        size=(9.6, 3.0),
        title=_("Learning curves side by side"),
        description=description,
    )


def _draw_compared(figure: Figure, curves: Sequence[Curves]) -> None:
    from matplotlib.ticker import MaxNLocator

    panels = (
        (_("training loss (nats)"), 1),
        (_("validation accuracy (%)"), 100),
        (_("validation negative log-likelihood (nats)"), 1),
    )
    all_axes = figure.subplots(1, len(panels), sharex=True)
    for place, (axes, (title, factor)) in enumerate(zip(all_axes, panels, strict=True), start=1):
        for (name, rows), (style, colour) in zip(curves, STYLES, strict=False):
            known = [(row[0], factor * row[place]) for row in rows if row[place] is not None]
            xs, ys = [x for x, _y in known], [y for _x, y in known]
            # Not clipped: a marker at 100 % stays whole. One legend is enough.
            label = name if place == 1 else None
            axes.plot(xs, ys, style, color=colour, label=label, clip_on=False)
        if factor == 100:
            low, high = axes.get_ylim()
            axes.set_ylim(max(0, low), min(100, high))
        axes.set_title(title)
        axes.set_xlabel(_("epoch"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.legend(loc="outside upper right", ncols=2)
