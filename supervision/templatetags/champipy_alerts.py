"""Template tags for the banner of alerts on the admin's pages."""

from django import template
from django.db.models import QuerySet

from supervision.models import Alert
from supervision.monitoring import selectors
from supervision.monitoring.alert_texts import alert_summary

register = template.Library()
register.filter("alert_summary", alert_summary)


@register.simple_tag
def open_alerts() -> QuerySet[Alert]:
    """Return the alerts that nobody has acknowledged: `{% open_alerts as alerts %}`."""
    return selectors.open_alerts()
