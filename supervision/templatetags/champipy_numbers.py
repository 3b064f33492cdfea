"""Template filters that format numbers and names on the admin's pages."""

from django import template

register = template.Library()


@register.filter
def share(value: float | None) -> str:
    """Return a share from 0 to 1 in percent, or an empty text for None."""
    return "" if value is None else f"{value:.0%}"


@register.filter
def points(value: float | None) -> str:
    """Return a difference of two shares in percentage points, with its sign."""
    return "" if value is None else f"{100 * value:+.0f}"


@register.filter
def spaced(name: str) -> str:
    """Return a name from the code with spaces, for people."""
    return name.replace("_", " ")
