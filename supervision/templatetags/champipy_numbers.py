"""How the admin's pages write numbers."""

from django import template

register = template.Library()


@register.filter
def share(value: float | None) -> str:
    """Write a share from 0 to 1 in percent."""
    return "" if value is None else f"{value:.0%}"


@register.filter
def points(value: float | None) -> str:
    """Write a difference of two shares in points, with its sign."""
    return "" if value is None else f"{100 * value:+.0f}"


@register.filter
def spaced(name: str) -> str:
    """Write a name of the code for people."""
    return name.replace("_", " ")
