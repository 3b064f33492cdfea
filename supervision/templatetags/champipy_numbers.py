"""Template filters that format numbers and names on the admin's pages."""

from django import template
from django.utils.formats import number_format

from common.messages import number_told
from common.paging import MAX_COUNTED

register = template.Library()


@register.filter
def share(value: float | None) -> str:
    """Return a share from 0 to 1 in percent, or an empty text for None."""
    return "" if value is None else f"{100 * value:.0f}\N{NO-BREAK SPACE}%"


@register.filter
def points(value: float | None) -> str:
    """Return a difference of two shares in percentage points, with its sign; without one if 0."""
    if value is None:
        return ""
    rounded = round(100 * value)
    return number_told(f"{rounded:+d}") if rounded else "0"


@register.filter
def counted(count: int, limit: int = MAX_COUNTED) -> str:
    """Return a count of `capped_count`, with a plus sign where it stopped counting."""
    return number_format(count, force_grouping=True) + "+" * (count >= limit)
