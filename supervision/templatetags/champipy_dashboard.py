"""What the admin's first page shows above its list of tables."""

from typing import Any

from django import template

from supervision.monitoring.admin.dashboard import dashboard_context

register = template.Library()


@register.simple_tag
def dashboard() -> dict[str, Any]:
    """Return how the service does: `{% dashboard as now %}`."""
    return dashboard_context()
