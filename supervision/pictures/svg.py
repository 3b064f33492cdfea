"""Turns what matplotlib draws into an SVG element for a page.

Text stays text (found by a search, read by screen readers) and takes the text colour of the page,
so that a chart is as readable on a dark page as on a light one. Styles become attributes: a page
whose content security policy forbids inline styles shows the chart all the same. The same data
gives the same SVG, byte for byte, in each language; the latest ones are cached.

Matplotlib is imported with the first chart: until then the web process does without it.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils.formats import get_format
from django.utils.html import escape
from django.utils.safestring import SafeString
from django.utils.translation import get_language

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"
"""From Okabe and Ito: distinct for colour-blind people, visible on light and dark pages."""
INK = "#010203"
"""Placeholder for the page's text colour: matplotlib does not know `currentColor`."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "champipy",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.13,
    "xtick.color": INK,
    "ytick.color": INK,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
}
# Matplotlib's settings are global, and its text layout is not thread-safe.
_DRAWING_LOCK = threading.Lock()


@dataclass(frozen=True)
class ChartLink:
    """Where a part of a chart leads to. `draw` marks the part by `artist.set_url(link.url)`."""

    url: str
    name: str
    """What it is, for people who cannot see the chart."""


def render_svg(
    draw: Callable[..., None],
    data: tuple,
    *,
    size: tuple[float, float],
    title: str,
    description: str,
    links: tuple[ChartLink, ...] = (),
) -> SafeString:
    """Return an <svg> element with what `draw(figure, *data)` draws on a matplotlib figure.

    `data` must be hashable. `size` is width and height in inches of 72 units; only their ratio
    matters, as the page's style sets the size of the class `chart`. `title` and `description` are
    for people who cannot see the chart. `links` are those whose addresses `draw` gave to artists.
    """
    return draw_svg(
        draw,
        data,
        size=size,
        title=title,
        description=description,
        links=links,
        language=get_language(),
    )


@lru_cache(maxsize=64)
def draw_svg(
    draw: Callable[..., None],
    data: tuple,
    *,
    size: tuple[float, float],
    title: str,
    description: str,
    links: tuple[ChartLink, ...],
    language: str | None,
) -> SafeString:
    """Return what `render_svg` returns; `draw` translates its texts into `language`."""
    with _DRAWING_LOCK:
        # Making the list of fonts takes a while: cache it in a folder that is surely writable.
        cache = Path(settings.CHAMPIPY_HOME) / "cache" / "matplotlib"
        os.environ.setdefault("MPLCONFIGDIR", str(cache))
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure as NewFigure

        with matplotlib.rc_context(_STYLE):
            figure = NewFigure(figsize=size, layout="constrained")
            draw(figure, *data)
            _number_axes(figure)
            document = StringIO()
            no_metadata: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            FigureCanvasSVG(figure).print_svg(document, metadata=no_metadata)
    return _element(document.getvalue(), title, description, links)


def _number_axes(figure: Figure) -> None:
    """Have the marks of the axes that are numbers written as the active language does."""
    from matplotlib.ticker import ScalarFormatter

    class LocalFormatter(ScalarFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return super().__call__(x, pos).replace(".", get_format("DECIMAL_SEPARATOR"))

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if type(axis.get_major_formatter()) is ScalarFormatter:
                axis.set_major_formatter(LocalFormatter())


def _element(
    document: str, title: str, description: str, links: tuple[ChartLink, ...]
) -> SafeString:
    """Return matplotlib's document as an element with a description, in the page's colour."""
    _, view_box, content = re.split(r'<svg [^>]*(viewBox="[^"]+")[^>]*>', document, maxsplit=1)
    # Several charts share a page, and ids must not repeat. Referenced ids are hashes: keep.
    content = re.sub(r' id="[a-zA-Z0-9.]+_[0-9_]+"', "", content)
    # Its only style sheet; the attributes below are inherited and say the same.
    content = re.sub(r"<style[^>]*>.*?</style>", "", content, flags=re.DOTALL)
    content = re.sub(r' style="([^"]*)"', lambda match: _attributes(match[1]), content)
    for link in links:
        content = content.replace(
            f'<a xlink:href="{escape(link.url)}" target="_blank">',
            # What is invisible can be clicked, too.
            f'<a href="{escape(link.url)}" aria-label="{escape(link.name)}" pointer-events="all">',
        )
    role = "group" if links else "img"  # the parts of an image are not read to anybody
    return SafeString(
        f'<svg class="chart" role="{role}" {view_box} xmlns="http://www.w3.org/2000/svg"'
        ' xmlns:xlink="http://www.w3.org/1999/xlink"'
        ' stroke-linejoin="round" stroke-linecap="butt">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        + content.replace(INK, "currentColor")
    )


def _attributes(style: str) -> str:
    """Return an inline style of matplotlib as attributes: "fill: none" is ` fill="none"`."""
    attributes = []
    for declaration in style.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":  # the shorthand: italic 700 9px 'DejaVu Sans', …
            words, size, family = re.fullmatch(r"(.*?)([\d.]+px) (.*)", value).groups()  # type: ignore[union-attr]
            attributes += [("font-size", size), ("font-family", family)]
            for word in words.split():
                is_style = word in ("italic", "oblique")
                attributes.append(("font-style" if is_style else "font-weight", word))
        elif name:
            attributes.append((name, value))
    return "".join(f' {name}="{value}"' for name, value in attributes)
