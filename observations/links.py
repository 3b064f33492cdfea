"""Addresses of pages at Mushroom Observer that say what ChampiPy found."""

from typing import Any

from observations.models import Observation
from observations.mushroom_observer.references import (
    naming_form_url,
    observation_url,
    suggestions_url,
)

MAX_SUGGESTIONS = 3
"""Species that are suggested for each photo."""
MIN_PERCENT = 1.0


def links_of(observation: Observation, accepted: dict[str, str]) -> dict[str, Any] | None:
    """Return the links of an observation from Mushroom Observer; None of any other.

    `accepted` has the accepted names of species (`mlmodels.species_selectors`). `propose` opens the
    form that proposes the best species, `suggestions` the site's page with the scores of each photo
    that shows a species that the model knows. Both are None where there is no such species.
    """
    number = observation.mushroom_observer_id
    if number is None:
        return None
    propose = suggestions = None
    if observation.answer is not None and _is_in_scope(observation.answer["scope"]):
        best = observation.answer["predictions"][0]["species"]
        propose = naming_form_url(number, accepted.get(best, best))
    inferences = [photo.prediction.inference for photo in observation.photos.all()]
    photos = [
        [
            (accepted.get(species, species), score)
            for species, score in each.best(MAX_SUGGESTIONS)
            if score >= MIN_PERCENT
        ]
        for each in inferences
        if each is not None and each.in_scope is not False
    ]
    if photos:
        suggestions = suggestions_url(number, photos)
    return {"page": observation_url(number), "propose": propose, "suggestions": suggestions}


def _is_in_scope(scope: dict[str, Any] | None) -> bool:
    return scope is None or bool(scope["in_scope"])
