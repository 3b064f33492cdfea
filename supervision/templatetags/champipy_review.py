"""Template filters and a tag for the review of photos."""

from typing import Any

from django import template

from predictions.models import Inference
from supervision.review import history, words

register = template.Library()
register.filter("is_guess", words.is_guess)
register.filter("who_says", words.who_says)
register.filter("label_text", words.label_text)
register.filter("waiting_text", words.waiting_text)


@register.filter
def best(inference: Inference, count: int) -> list[tuple[str, float]]:
    """Return the `count` likeliest species with their scores in percent: `inference|best:2`."""
    return inference.best(count)


@register.simple_tag(takes_context=True)
def last_decision(context: dict[str, Any]) -> history.Decision | None:
    """Return what the user of the page can undo: `{% last_decision as undo %}`."""
    return history.last_decision(context["request"].user)
