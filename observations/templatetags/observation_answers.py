"""Template tags that tell what the photos of an observation show.

Pages that use them load `observations/answers.js` as well: it makes pictures that are not ready yet
appear, and lays explanations over photos.
"""

from typing import Any

from django import template

from observations.models import Observation, ObservationPhoto
from observations.mushroom_observer.answers import attribution_text
from observations.mushroom_observer.references import image_page_url
from observations.remarks import remark_sentence
from predictions.licences import licence_name, licence_url
from predictions.models import Prediction
from predictions.verdicts import verdict_sentence

register = template.Library()

MAX_BARS = 5
"""Species that an answer shows as bars; those below MIN_PERCENT are left out."""
MIN_PERCENT = 1.0
FIRST_POLL_MS, POLL_GROWTH, MAX_POLL_MS = 400, 1.4, 15_000
MAX_POLLS = 40
"""A pending card asks this often, first soon, then less and less: for about eight minutes."""


@register.inclusion_tag("observations/answer_words.html")
def answer_words(observation: Observation) -> dict[str, Any]:
    """Show the answer of an observation in a few words, for lists."""
    return _told(observation)


@register.inclusion_tag("observations/answer_words.html")
def prediction_words(prediction: Prediction) -> dict[str, Any]:
    """Show the answer of a prediction that belongs to no observation in a few words."""
    inference = prediction.inference
    return {
        "observation": {"status": prediction.status, "answer": inference},
        "best": inference and {"species": inference.best_species, "score": inference.best_score},
        "is_none_of_them": inference is not None and inference.in_scope is False,
        "scope": inference and inference.in_scope,
        "known_species": len(inference.model_version.labels) if inference else 0,
    }


@register.inclusion_tag("observations/verdict_words.html")
def prediction_verdict(prediction: Prediction) -> dict[str, Any]:
    """Show the verdict on the name that was proposed with a prediction."""
    verdict = prediction.verdict or {}
    return {"name": {"name": prediction.proposed, **verdict}}


@register.inclusion_tag("observations/answer.html")
def answer(observation: Observation, with_names: bool = True) -> dict[str, Any]:
    """Show the answer of an observation: in words, with the verdicts, then as bars.

    `observation` is one of `told_observations`. Without names, the page shows the verdicts itself.
    """
    told = _told(observation)
    return told if with_names else {**told, "names": ()}


def _told(observation: Observation) -> dict[str, Any]:
    photos = [each.prediction for each in observation.photos.all()]
    answered = [each for each in photos if each.status != Prediction.Status.PENDING]
    told = observation.answer or {"predictions": [], "scope": None, "plausible": None}
    scope = told["scope"]
    bars = [each for each in told["predictions"] if each["score"] >= MIN_PERCENT][:MAX_BARS]
    best = bars[0] if bars else None
    plausible = told["plausible"] or []
    return {
        "observation": observation,
        "answered": len(answered),
        "photos": len(photos),
        "best": best,
        "others": [each for each in plausible if best is not None and each != best["species"]],
        "bars": bars,
        "is_none_of_them": scope is not None and not scope["in_scope"],
        "scope": scope,
        "known_species": len(told["predictions"]),
        "names": observation.names.all(),
        "remarks": [remark_sentence(each) for each in observation.remarks],
    }


@register.inclusion_tag("observations/card.html")
def find_card(observation: Observation, polls: int | str = 0) -> dict[str, Any]:
    """Show a find of the user as a card. While it is pending, htmx asks for it again.

    `observation` is one of `told_observations(with_pictures=True)`; `polls` is how often htmx did.
    """
    polls = int(polls or 0)
    is_pending = observation.status == Observation.Status.PENDING
    return {
        "observation": observation,
        "own_names": [name.name for name in observation.names.all() if name.naming_id is None],
        "is_polled": is_pending and polls < MAX_POLLS,
        "next_poll": polls + 1,
        "delay_ms": min(round(FIRST_POLL_MS * POLL_GROWTH**polls), MAX_POLL_MS),
    }


@register.inclusion_tag("observations/photo.html")
def find_photo(photo: ObservationPhoto, number: int, size: str = "thumbnail") -> dict[str, Any]:
    """Show a photo of an observation with what must stand beside it.

    `number` is its place among the photos; `size` is "thumbnail" or "picture". One that may not be
    shown has a link to its page instead. `told_observations(with_pictures=True)` saves queries.
    """
    prediction = photo.prediction
    inference = prediction.inference
    stored = inference.photo if inference is not None else None
    is_reserved = not photo.is_usable or (stored is not None and stored.is_reserved)
    is_none = inference is not None and inference.in_scope is False
    best = None if inference is None or is_none else inference.best(1)[0]
    credit = None
    if photo.image_id is not None:
        credit = {
            "text": attribution_text(photo.year, photo.holder),
            "page": image_page_url(photo.image_id),
            "licence": photo.licence,
            "licence_url": licence_url(photo.licence),
        }
    return {
        "number": number,
        "prediction": prediction,
        "picture": "prediction-thumbnail" if size == "thumbnail" else "prediction-picture",
        "is_shown": stored is not None and bool(stored.file) and not is_reserved,
        "is_reserved": is_reserved,
        "has_find_failed": photo.observation.status == Observation.Status.FAILED,
        "is_none_of_them": is_none,
        "best": best,
        "stored": stored,
        "credit": credit,
    }


@register.filter
def reason(because: dict[str, Any] | None) -> str:
    """Return the reason of a verdict as a sentence in the active language."""
    return verdict_sentence(because) if because else ""


@register.filter
def licence(url: str) -> str:
    """Return the short name of a licence, of which `url` is the address."""
    return licence_name(url)
