"""What the page of the queue shows of a find."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext

from common.templatetags.champipy import percent
from observations.models import Observation, ObservationPhoto, ProposedName
from observations.mushroom_observer.references import image_url
from observations.selectors import likely_name, told_observations
from predictions.models import Prediction

LARGE = 1280
"""Pixels of the photo at Mushroom Observer to which a photo links."""


@dataclass(frozen=True)
class PhotoOfFind:
    """A photo, and what stands beside it."""

    shown: ObservationPhoto
    number: int
    """Its place among the photos as they are shown, from 1 on."""
    text: str
    """What ChampiPy says of this photo alone."""
    large_url: str
    """Of the photo at Mushroom Observer, larger; "" if it is reserved."""


@dataclass(frozen=True)
class Find:
    """A find of the queue, as a verifier sees it."""

    observation: Observation
    photos: Sequence[PhotoOfFind]
    """Those that may not be shown come last."""
    names: Sequence[ProposedName]
    """The proposed names; one that several people proposed is there once."""
    chosen: ProposedName | None
    """The name that a decision is about unless the verifier chooses another one."""


def finds_of(observations: Sequence[Observation]) -> list[Find]:
    """Return what is shown of answered observations of Mushroom Observer, in their order."""
    numbers = [observation.pk for observation in observations]
    told = told_observations(with_pictures=True).in_bulk(numbers)
    return [_find(told[number]) for number in numbers if number in told]


def _find(observation: Observation) -> Find:
    chosen = likely_name(observation)
    names = {name.name: name for name in observation.names.all()}
    if chosen is not None:
        names[chosen.name] = chosen
    photos = sorted(observation.photos.all(), key=lambda photo: not photo.is_usable)
    return Find(
        observation=observation,
        photos=[_photo(photo, number) for number, photo in enumerate(photos, start=1)],
        names=list(names.values()),
        chosen=chosen,
    )


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
    return f"{inference.best_species}, {percent(inference.best_score)}"
