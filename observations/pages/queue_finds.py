"""What the page of the queue shows of a find."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext

from accounts.models import User
from mlmodels.species_selectors import accepted_names
from observations.comment_drafts import Draft, comment_draft
from observations.links import links_of
from observations.models import (
    MushroomObserverKey,
    MushroomObserverWrite,
    Observation,
    ObservationPhoto,
    ProposedName,
)
from observations.mushroom_observer.references import image_url
from observations.selectors import told_observations
from observations.write_selectors import seen_of, writes_visible_to
from predictions.models import Prediction

LARGE = 1280
"""Pixels of the photo at Mushroom Observer to which a photo links."""
MAX_WRITES = 5
"""Of what a user wrote on a find, so many are listed, the last ones."""


@dataclass(frozen=True)
class PhotoOfFind:
    """A photo, and what stands beside it."""

    shown: ObservationPhoto
    number: int
    """Its place among the photos of the find, from 1 on."""
    text: str
    """What ChampiPy says of this photo alone."""
    large_url: str
    """Of the photo at Mushroom Observer, larger; "" if it is reserved."""


@dataclass(frozen=True)
class Find:
    """A find of the queue, with all that a verifier sees of it."""

    observation: Observation
    photos: Sequence[PhotoOfFind]
    names: Sequence[ProposedName]
    chosen: ProposedName | None
    """The name that a decision is about unless the verifier chooses another one."""
    best: str
    """The accepted name of the best species; "" if it is none that the model knows."""
    links: Mapping[str, Any]
    seen: str
    draft: Draft
    has_key: bool
    writes: Sequence[MushroomObserverWrite]


def finds_of(observations: Sequence[Observation], user: User) -> list[Find]:
    """Return what is shown of answered observations of Mushroom Observer, in their order."""
    numbers = [observation.pk for observation in observations]
    by_number = told_observations(with_pictures=True).in_bulk(numbers)
    accepted = accepted_names()
    keys = MushroomObserverKey.objects.filter(user=user).exclude(ciphertext="")
    has_key = keys.exists()
    return [
        _find(by_number[number], accepted=accepted, has_key=has_key, user=user)
        for number in numbers
        if number in by_number
    ]


def _find(observation: Observation, *, accepted: dict[str, str], has_key: bool, user: User) -> Find:
    names = list({name.name: name for name in observation.names.all()}.values())
    answer = observation.answer or {"predictions": [], "scope": None}
    is_known = answer["scope"] is None or answer["scope"]["in_scope"]
    best = answer["predictions"][0]["species"] if is_known and answer["predictions"] else ""
    writes = writes_visible_to(user).filter(user=user, observation=observation)
    return Find(
        observation=observation,
        photos=[
            _photo(photo, number) for number, photo in enumerate(observation.photos.all(), start=1)
        ],
        names=names,
        chosen=max(names, key=_preference, default=None),
        best=accepted.get(best, best),
        links=links_of(observation, accepted) or {},
        seen=seen_of(observation),
        draft=comment_draft(observation),
        has_key=has_key,
        writes=list(writes[:MAX_WRITES]) if has_key else [],
    )


def _preference(name: ProposedName) -> tuple[bool, float]:
    """Return the key by which the name is found that people most likely mean."""
    confidence = name.confidence if name.confidence is not None else -3.0
    return name.is_consensus, confidence


def _photo(photo: ObservationPhoto, number: int) -> PhotoOfFind:
    has_large = photo.is_usable and photo.image_id is not None
    return PhotoOfFind(
        shown=photo,
        number=number,
        text=_told_of_photo(photo.prediction),
        large_url=image_url(photo.image_id or 0, LARGE) if has_large else "",
    )


def _told_of_photo(prediction: Prediction) -> str:
    inference = prediction.inference
    if inference is None:
        return gettext("not judged")
    if inference.in_scope is False:
        return gettext("none of the species that ChampiPy knows")
    return gettext("%(species)s, %(score).0f %%") % {
        "species": inference.best_species,
        "score": inference.best_score,
    }
