"""Template tag for the dashboard on the admin's first page."""

from typing import Any

from django import template

from supervision.monitoring.admin.dashboard import dashboard_context

register = template.Library()


@register.simple_tag
def dashboard() -> dict[str, Any]:
    """Return the figures of the dashboard: `{% dashboard as now %}`."""
    return dashboard_context()
