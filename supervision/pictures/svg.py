"""Turns what matplotlib draws into an SVG element for a page.

Text stays text (found by a search, read by screen readers) and takes the text colour of the page,
so that a chart is as readable on a dark page as on a light one. The same data gives the same SVG,
byte for byte; the latest ones are cached.

Matplotlib is imported with the first chart: until then the web process does without it.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.html import escape
from django.utils.safestring import SafeString

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


@lru_cache(maxsize=32)
def render_svg(
    draw: Callable[..., None],
    data: tuple,
    *,
    size: tuple[float, float],
    title: str,
    description: str,
) -> SafeString:
    """Return an <svg> element with what `draw(figure, *data)` draws on a matplotlib figure.

    `data` must be hashable. `size` is width and height in inches of 72 units; only their ratio
    matters, as the page's style sets the size of the class `chart`. `title` and `description` are
    for people who cannot see the chart.
    """
    with _DRAWING_LOCK:
        # Making the list of fonts takes a while: cache it in a folder that is surely writable.
        cache = Path(settings.CHAMPIPY_HOME) / "cache" / "matplotlib"
        os.environ.setdefault("MPLCONFIGDIR", str(cache))
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        with matplotlib.rc_context(_STYLE):
            figure = Figure(figsize=size, layout="constrained")
            draw(figure, *data)
            document = StringIO()
            no_metadata: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            FigureCanvasSVG(figure).print_svg(document, metadata=no_metadata)
    return _element(document.getvalue(), title, description)


def _element(document: str, title: str, description: str) -> SafeString:
    """Return matplotlib's document as an element with a description, in the page's colour."""
    _, view_box, content = re.split(r'<svg [^>]*(viewBox="[^"]+")[^>]*>', document, maxsplit=1)
    # Several charts share a page, and ids must not repeat. Referenced ids are hashes: keep.
    content = re.sub(r' id="[a-zA-Z0-9.]+_[0-9_]+"', "", content)
    return SafeString(
        f'<svg class="chart" role="img" {view_box} xmlns="http://www.w3.org/2000/svg"'
        ' xmlns:xlink="http://www.w3.org/1999/xlink">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        + content.replace(INK, "currentColor")
    )
