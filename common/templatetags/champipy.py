"""Template filters for the pages of all apps."""

from django import template
from django.template.defaultfilters import floatformat
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def species(name: str) -> SafeString:
    """Return the name of a species in italics, marked as Latin."""
    return format_html('<i lang="la">{}</i>', name)


@register.filter
def percent(score: float) -> str:
    """Return a score as whole percents; "< 1 %" and "> 99 %" where these would look certain."""
    if score < 0.5:
        return "<\u00a01\u00a0%"
    if score >= 99.5:
        return ">\u00a099\u00a0%"
    return f"{floatformat(score, 0)}\u00a0%"
