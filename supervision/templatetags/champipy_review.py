"""Template filter and tag for the review of photos."""

from typing import Any

from django import template

from predictions.models import Inference
from supervision.review import history

register = template.Library()


@register.filter
def best(inference: Inference, count: int) -> list[tuple[str, float]]:
    """Return the `count` likeliest species with their scores in percent: `inference|best:2`."""
    return inference.best(count)


@register.simple_tag(takes_context=True)
def last_decision(context: dict[str, Any]) -> history.Decision | None:
    """Return what the user of the page can undo: `{% last_decision as undo %}`."""
    return history.last_decision(context["request"].user)
