"""What the banner on the admin's pages shows."""

from django import template
from django.db.models import QuerySet

from supervision import selectors
from supervision.alert_texts import alert_summary
from supervision.models import Alert

register = template.Library()
register.filter("alert_summary", alert_summary)


@register.simple_tag
def open_alerts() -> QuerySet[Alert]:
    """Return the alerts that nobody has acknowledged: `{% open_alerts as alerts %}`."""
    return selectors.open_alerts()
