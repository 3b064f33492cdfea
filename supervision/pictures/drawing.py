"""Makes an SVG that stands within a page from what matplotlib draws.

Text stays text (found by a search, read by screen readers) and takes the colour of the page around
it, so that a picture is as readable on a dark page as on a light one. The same data gives the same
picture, byte for byte, and is drawn once as long as it is remembered.

Matplotlib is imported with the first picture: the web process does without it until then.
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
"""Okabe and Ito's: told apart by colour-blind eyes, and seen on light and dark pages."""
INK = "#010203"
"""Stands for the page's own text colour while matplotlib draws, which knows no `currentColor`."""

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
# Matplotlib's settings are global, and its text layout is not made for threads.
_ONE_AT_A_TIME = threading.Lock()


@lru_cache(maxsize=32)
def drawn(
    draw: Callable[..., None],
    data: tuple,
    *,
    size: tuple[float, float],
    title: str,
    description: str,
) -> SafeString:
    """Return an <svg> element with what `draw(figure, *data)` puts on a matplotlib figure.

    `data` is hashable; `size` is in inches of 72 units, and only a proportion: the page's style
    says how large a picture with the class `chart` is. `title` and `description` are for those who
    do not see it.
    """
    with _ONE_AT_A_TIME:
        # Its list of the fonts takes a while to make: kept where it can be written for sure.
        cache = Path(settings.CHAMPIPY_HOME) / "cache" / "matplotlib"
        os.environ.setdefault("MPLCONFIGDIR", str(cache))
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        with matplotlib.rc_context(_STYLE):
            figure = Figure(figsize=size, layout="constrained")
            draw(figure, *data)
            document = StringIO()
            nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            FigureCanvasSVG(figure).print_svg(document, metadata=nothing)
    return _element(document.getvalue(), title, description)


def _element(document: str, title: str, description: str) -> SafeString:
    """Return matplotlib's document as an element for a page, described and in the page's colour."""
    _, view_box, content = re.split(r'<svg [^>]*(viewBox="[^"]+")[^>]*>', document, maxsplit=1)
    # Several pictures share a page, and ids must not repeat; those that are referred to are hashes.
    content = re.sub(r' id="[a-zA-Z0-9.]+_[0-9_]+"', "", content)
    return SafeString(
        f'<svg class="chart" role="img" {view_box} xmlns="http://www.w3.org/2000/svg"'
        ' xmlns:xlink="http://www.w3.org/1999/xlink">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        + content.replace(INK, "currentColor")
    )
