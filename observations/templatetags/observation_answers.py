"""Template tags that tell what the photos of an observation show."""

from typing import Any

from django import template

from observations.models import Observation
from observations.remarks import remark_sentence
from predictions.models import Prediction
from predictions.verdicts import verdict_sentence

register = template.Library()

MAX_BARS = 5
"""Species that an answer shows as bars; those below MIN_PERCENT are left out."""
MIN_PERCENT = 1.0


@register.inclusion_tag("observations/answer_words.html")
def answer_words(observation: Observation) -> dict[str, Any]:
    """Show the answer of an observation in a few words, for lists."""
    return _told(observation)


@register.inclusion_tag("observations/answer.html")
def answer(observation: Observation) -> dict[str, Any]:
    """Show the answer of an observation: in words, then the verdicts, then as bars.

    `observation` is one of `told_observations`.
    """
    return _told(observation)


@register.filter
def reason(because: dict[str, Any] | None) -> str:
    """Return the reason of a verdict as a sentence in the active language."""
    return verdict_sentence(because) if because else ""


def _told(observation: Observation) -> dict[str, Any]:
    photos = [each.prediction for each in observation.photos.all()]
    answered = [each for each in photos if each.status != Prediction.Status.PENDING]
    told = observation.answer or {"predictions": [], "scope": None}
    scope = told["scope"]
    bars = [each for each in told["predictions"] if each["score"] >= MIN_PERCENT][:MAX_BARS]
    return {
        "observation": observation,
        "answered": len(answered),
        "photos": len(photos),
        "best": bars[0] if bars else None,
        "bars": bars,
        "is_none_of_them": scope is not None and not scope["in_scope"],
        "scope": scope,
        "known_species": len(told["predictions"]),
        "names": observation.names.all(),
        "remarks": [remark_sentence(each) for each in observation.remarks],
    }
