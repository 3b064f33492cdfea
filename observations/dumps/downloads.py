"""Fetches settled photos from Mushroom Observer as training photos, at the site's pace."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from mlmodels.ml.preprocessing import PhotoError
from mlmodels.models import Species
from observations.dumps.photos import images_wanted
from observations.models import MushroomObserverImage
from observations.mushroom_observer.references import image_page_url, image_url
from predictions.errors import NotAccepted
from predictions.fetching import fetch_photo
from predictions.import_services import ImportOutcome, photo_import
from predictions.licences import Attribution
from predictions.models import Photo
from predictions.mushroom_observer_turns import NoTurn
from predictions.photo_turns import BackgroundTurns
from predictions.photo_urls import FetchError
from predictions.storage_space import check_space

SIZE = 1280
"""Pixels of the longer side; the site asks for no larger ones."""
MAX_FAILURES = 3
"""Photos in a row that the site does not give, after which it is left alone."""
_FOR_GOOD = ("image_not_found", "image_too_large", "url_forbidden")


class SiteUnavailable(Exception):  # noqa: N818 - a condition to report, not a fault
    """Nothing more can be fetched now; the message says why."""


@dataclass(frozen=True)
class Download:
    """One photo that was fetched, or was not."""

    image_id: int
    species: Species
    outcome: str
    """ImportOutcome.NEW, or why there is no new training photo."""


def photos_missing(*, number: int) -> dict[Species, int]:
    """Return how many photos are to be fetched, so that each species has `number` from here."""
    missing = {}
    for species in Species.objects.all():
        there = _count(species)
        missing[species] = min(max(0, number - there), images_wanted(species).count())
    return missing


def photos_download(
    *, number: int, tell: Callable[[str], object] = lambda _: None
) -> Iterator[Download]:
    """Fetch photos until each species has `number` from here; yield each as it comes.

    One photo of each observation is taken before a second one of any. What was fetched before, or
    refused, is not fetched again. Raises SiteUnavailable.
    """
    failures = 0
    for species in Species.objects.all():
        there = _count(species)
        for pk in list(images_wanted(species).values_list("pk", flat=True)):
            if there >= number:
                break
            image = MushroomObserverImage.objects.get(pk=pk)
            try:
                check_space()
                outcome = _download(image, species)
            except NoTurn as error:
                raise SiteUnavailable(
                    "Mushroom Observer may not be asked now: it asked for a pause, or ChampiPy's "
                    "Valkey does not answer."
                ) from error
            except NotAccepted as error:
                raise SiteUnavailable("The disk is nearly full.") from error
            except FetchError as error:
                failures += 1
                tell(f"image {image.pk}: {error.detail}")
                if failures == MAX_FAILURES:
                    raise SiteUnavailable(
                        f"Mushroom Observer did not give {MAX_FAILURES} photos in a row."
                    ) from error
                continue
            failures = 0
            there += outcome == ImportOutcome.NEW
            yield Download(image.pk, species, outcome)


def _count(species: Species) -> int:
    """Return how many photos of a species have their label from here."""
    return MushroomObserverImage.objects.filter(species=species, gave_label=True).count()


def _download(image: MushroomObserverImage, species: Species) -> str:
    """Fetch and import a photo; return the outcome, which its row keeps. Raises FetchError."""
    try:
        data = fetch_photo(
            image_url(image.pk, SIZE),
            allow=settings.CHAMPIPY_FETCH_ALLOW,
            requests=BackgroundTurns(),
        )
    except FetchError as error:
        if error.code not in _FOR_GOOD:
            raise
        return _refuse(image, str(error.detail))
    try:
        with transaction.atomic():
            result = photo_import(
                data=data,
                label=species,
                split=Photo.Split.TRAINING,
                origin=image_url(image.pk, SIZE),
                mushroom_observer_id=image.pk,
                attribution=Attribution(image.holder, image.licence, image_page_url(image.pk)),
                source=Photo.LabelSource.SETTLED,
            )
            if result.outcome != ImportOutcome.NEW:
                return _refuse(image, result.outcome)
            MushroomObserverImage.objects.filter(pk=image.pk).update(gave_label=True)
    except PhotoError as error:
        return _refuse(image, f"broken: {error}")
    return result.outcome


def _refuse(image: MushroomObserverImage, why: str) -> str:
    MushroomObserverImage.objects.filter(pk=image.pk).update(refused=why[:200])
    return why
