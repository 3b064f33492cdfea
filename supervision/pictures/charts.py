"""Charts of the admin: training, trials, accuracy in production, predictions a day.

No chart relies on colour alone: a marker, a line style, a hatch or a number repeats what it says.
Their texts are in the language of the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.formats import date_format, get_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from common.wording import format_number, format_share
from supervision.pictures.svg import BLUE, GREEN, INK, VERMILION, render_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class AccuracyPoint:
    """An accuracy (0 to 1) with its 95 % interval, which holds from `at` on."""

    at: datetime
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class VersionChange:
    """A version, and when it went into production."""

    at: datetime
    version: str


def learning_curves_svg(
    history: Sequence[Mapping[str, Any]], *, validation_is_new: bool = True
) -> SafeString:
    """Return a chart of loss, accuracy and negative log-likelihood, epoch by epoch.

    `history` is TrainingRun.history; accuracy and likelihood are those of the validation photos.
    `validation_is_new` False says that the version was trained on these before.
    """
    description = _("No epoch has ended yet.")
    if history:
        last = history[-1]
        description = _(
            "After epoch %(epoch)d: accuracy %(accuracy)s, negative log-likelihood %(nll)s."
        ) % {
            "epoch": last["epoch"],
            "accuracy": format_share(last["accuracy"]),
            "nll": format_number(last["nll"], ".3f"),
        }
        if last["loss"] is not None:
            loss = format_number(last["loss"], ".3f")
            description += " " + _("Training loss %(loss)s.") % {"loss": loss}
        if not validation_is_new:
            description += " " + _("The version was trained on these photos before.")
    epochs = tuple(
        (entry["epoch"], entry["loss"], entry["accuracy"], entry["nll"]) for entry in history
    )
    return render_svg(
        _draw_curves,
        (epochs, validation_is_new),
        size=(9.6, 2.7),
        title=_("Learning curves"),
        description=description,
    )


def _draw_curves(figure: Figure, epochs: Sequence[tuple], validation_is_new: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    accuracy, likelihood = (
        (_("validation accuracy (%)"), _("validation negative log-likelihood (nats)"))
        if validation_is_new
        else (_("accuracy on seen photos (%)"), _("negative log-likelihood of seen photos (nats)"))
    )
    panels = (
        (_("training loss (nats)"), BLUE, "o-", 1),
        (accuracy, GREEN, "s-", 100),
        (likelihood, VERMILION, "^--", 1),
    )
    all_axes = figure.subplots(1, len(panels), sharex=True)
    for place, (axes, (title, colour, style, factor)) in enumerate(
        zip(all_axes, panels, strict=True), start=1
    ):
        known = [(entry[0], factor * entry[place]) for entry in epochs if entry[place] is not None]
        # Not clipped: a marker at 100 % stays whole.
        axes.plot([x for x, _ in known], [y for _, y in known], style, color=colour, clip_on=False)
        if factor == 100:
            low, high = axes.get_ylim()
            axes.set_ylim(max(0, low), min(100, high))
        axes.set_title(title)
        axes.set_xlabel(_("epoch"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if not known:  # epoch 0 is before the first pass and has no training loss
            axes.set_yticks([])


def trials_svg(trials: Sequence[Mapping[str, Any]]) -> SafeString:
    """Return a chart of the validation negative log-likelihood of each trial: lower is better.

    `trials` is TrainingRun.trials, at least one. Trials stopped early do not count as best.
    """
    # Counted from 1, as in the progress of a search.
    rows = tuple(
        (trial["number"] + 1, trial["nll"], trial["state"] == "complete") for trial in trials
    )
    complete = [(nll, number) for number, nll, is_complete in rows if is_complete]
    description = _("%(complete)d of %(n)d trials were completed.") % {
        "complete": len(complete),
        "n": len(rows),
    }
    if complete:
        nll, number = min(complete)
        best = _("The best is trial %(number)d with %(nll)s nats.")
        description += " " + best % {"number": number, "nll": format_number(nll, ".3f")}
    return render_svg(
        _draw_trials, (rows,), size=(6.4, 2.6), title=_("Trials"), description=description
    )


def _draw_trials(figure: Figure, rows: Sequence[tuple[int, float, bool]]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes = figure.subplots()
    kinds = (
        (_("completed"), True, "o", BLUE),
        (_("stopped early"), False, "x", VERMILION),
    )
    for label, is_complete, marker, colour in kinds:
        chosen = [row for row in rows if row[2] == is_complete]
        if chosen:
            numbers, values = [row[0] for row in chosen], [row[1] for row in chosen]
            axes.plot(numbers, values, marker, color=colour, label=label)
            if is_complete:
                lowest = list(accumulate(values, min))
                axes.step(numbers, lowest, ":", where="post", color=GREEN, label=_("best so far"))
    axes.set(xlabel=_("trial"), ylabel=_("negative log-likelihood"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.legend(loc="outside upper right", ncols=3)


def accuracy_over_time_svg(
    points: Sequence[AccuracyPoint],
    changes: Sequence[VersionChange],
    *,
    target: float,
    until: datetime,
) -> SafeString:
    """Return a chart of the accuracy in production over time, with its 95 % interval.

    `points` has at least one point, oldest first; each holds until the next, the last to `until`.
    `target` is from 0 to 1. Times are shown in TIME_ZONE.
    """
    description = _("Target %(target)s.") % {
        "target": f"{format_number(100 * target, 'g')}\N{NO-BREAK SPACE}%"
    }
    description += " " + _("; ").join(
        _("from %(date)s %(accuracy)s (%(low)s to %(high)s)")
        % {
            "date": f"{timezone.localtime(point.at):%Y-%m-%d}",
            "accuracy": format_share(point.accuracy),
            "low": format_share(point.low),
            "high": format_share(point.high),
        }
        for point in points
    )
    return render_svg(
        _draw_accuracy,
        (tuple(points), tuple(changes), target, (until, timezone.get_current_timezone())),
        size=(6.4, 2.6),
        title=_("Accuracy in production"),
        description=f"{description}.",
    )


def _draw_accuracy(
    figure: Figure,
    points: Sequence[AccuracyPoint],
    changes: Sequence[VersionChange],
    target: float,
    right_edge: tuple[datetime, tzinfo],
) -> None:
    from matplotlib.dates import AutoDateLocator, num2date

    until, zone = right_edge
    axes = figure.subplots()
    times: list[Any] = [*(point.at for point in points), until]
    held = [*points, points[-1]]
    low, high = [100 * point.low for point in held], [100 * point.high for point in held]
    axes.fill_between(times, low, high, step="post", color=BLUE, alpha=0.25, linewidth=0)
    axes.step(times, [100 * point.accuracy for point in held], where="post", color=BLUE)
    axes.plot(times[:-1], [100 * point.accuracy for point in points], "o", color=BLUE)
    axes.axhline(100 * target, color=VERMILION, linestyle="--", linewidth=1.3)
    missed = points[0].accuracy < target  # then its note is above, away from the curve
    _note(
        axes,
        times[0],
        100 * target,
        _("target %(target)s %%") % {"target": format_number(100 * target, "g")},
        above=missed,
    )
    wide_enough = (until - points[0].at) / 8
    ends = [*(change.at for change in changes[1:]), until + wide_enough]
    for change, end in zip(changes, ends, strict=False):
        at: Any = change.at
        axes.axvline(at, color=INK, linewidth=1, linestyle=":", alpha=0.6)
        if end - change.at >= wide_enough:  # else the next one would overwrite it
            _note(axes, at, 100, change.version, above=False)
    axes.set_ylim(max(0, min(100 * target, *low) - 8), 100)
    axes.set_ylabel(_("accuracy (%)"))
    locator = AutoDateLocator(minticks=3, maxticks=8, tz=zone)
    axes.xaxis.set_major_locator(locator)
    form = _time_format(until - points[0].at)
    axes.xaxis.set_major_formatter(lambda at, _place: date_format(num2date(at, zone), form))
    if form == "TIME_FORMAT":
        axes.set_xlabel(date_format(until.astimezone(zone), "DATE_FORMAT"))


def _day_format() -> str:
    """Return the format of a day without its year: that of dates, "j M Y", begins with it."""
    return get_format("DATE_FORMAT").removesuffix(" Y")


def _time_format(span: timedelta) -> str:
    """Return the format of the marks of an axis of time that is so long."""
    if span < timedelta(days=2):
        return "TIME_FORMAT"
    if span < timedelta(days=100):
        return _day_format()
    return get_format("DATE_FORMAT").removeprefix("j ")


def _note(axes: Axes, x: Any, y: float, text: str, *, above: bool) -> None:
    """Write a text beside a point, with a small offset."""
    offset, va = ((4, 2), "bottom") if above else ((4, -2), "top")
    axes.annotate(text, (x, y), offset, textcoords="offset points", va=va, fontsize=8.5)


def predictions_per_day_svg(days: Sequence[tuple[date, int, int]]) -> SafeString:
    """Return a chart of the predictions that were answered and that failed, each day.

    `days` are (day, answered, failed), oldest first, with no day left out.
    """
    answered, failed = sum(day[1] for day in days), sum(day[2] for day in days)
    return render_svg(
        _draw_days,
        (tuple(days),),
        size=(6.4, 2.6),
        title=_("Predictions a day"),
        description=_("%(answered)d answered and %(failed)d failed in %(days)d days.")
        % {"answered": answered, "failed": failed, "days": len(days)},
    )


def _draw_days(figure: Figure, days: Sequence[tuple[date, int, int]]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes = figure.subplots()
    places = range(len(days))
    answered, failed = [day[1] for day in days], [day[2] for day in days]
    axes.bar(places, answered, color=BLUE, label=_("answered"))
    if any(failed):
        hatched = axes.bar(places, failed, bottom=answered, color=VERMILION, label=_("failed"))
        for bar in hatched:
            bar.set(hatch="////", edgecolor=INK, linewidth=0)
        figure.legend(loc="outside upper right", ncols=2)
    weekly = range(len(days) - 1, -1, -7)
    axes.set_xticks(list(weekly), [date_format(days[i][0], _day_format()) for i in weekly])
    axes.grid(visible=False, axis="x")
    highest = max(right + wrong for right, wrong in zip(answered, failed, strict=True))
    axes.set_ylim(0, max(4, 1.05 * highest))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.set_ylabel(_("predictions"))
