"""Template filters for the pages of all apps."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def species(name: str) -> SafeString:
    """Return the name of a species in italics, marked as Latin."""
    return format_html('<i lang="la">{}</i>', name)
