"""Template filter for the cards of photos."""

from django import template

from predictions.models import Inference

register = template.Library()


@register.filter
def best(inference: Inference, count: int) -> list[tuple[str, float]]:
    """Return the `count` likeliest species with their scores in percent: `inference|best:2`."""
    return inference.best(count)
