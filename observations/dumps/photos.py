"""Labels ChampiPy's photos of Mushroom Observer as the dumps say that they are settled."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from mlmodels.models import Species
from observations.models import MushroomObserverImage
from predictions.labels import Label, OtherSpecies, label_of
from predictions.models import Photo
from predictions.settled_services import SettledOutcome, photo_label_settled

MAX_SHOWN = 20
_PORTION = 500


@dataclass
class PhotosLabelled:
    """What became of the known photos, and which labels people should look at."""

    outcomes: Counter[SettledOutcome] = field(default_factory=Counter)
    contradicted: list[str] = field(default_factory=list)
    """Photos that were imported with another label than the settled one; MAX_SHOWN at most."""
    unsettled: list[str] = field(default_factory=list)
    """Photos whose label was settled once, and is no longer; MAX_SHOWN at most."""


def settled_images() -> QuerySet[MushroomObserverImage]:
    """Return the images whose name is settled and which may be trained on."""
    return MushroomObserverImage.objects.filter(
        Q(species__isnull=False) | ~Q(other_name=""),
        confidence__gte=settings.CHAMPIPY_SETTLED_CONFIDENCE,
        ok_for_export=True,
    ).exclude(licence="")


def settled_label(image: MushroomObserverImage) -> Label:
    """Return what a settled image shows."""
    return image.species or OtherSpecies(image.other_name)


def photos_label() -> PhotosLabelled:
    """Label all known photos whose images are settled. A repeated call changes nothing."""
    done = PhotosLabelled()
    for image, photo in _known(settled_images()):
        label = settled_label(image)
        with transaction.atomic():
            outcome = photo_label_settled(photo_id=photo.pk, label=label, follows=image.gave_label)
            if outcome == SettledOutcome.LABELLED and not image.gave_label:
                MushroomObserverImage.objects.filter(pk=image.pk).update(gave_label=True)
        done.outcomes[outcome] += 1
        if outcome == SettledOutcome.CONTRADICTED and len(done.contradicted) < MAX_SHOWN:
            done.contradicted.append(
                f"image {image.pk} ({photo}) was imported as {label_of(photo)}; "
                f"the community says {label}"
            )
    turned = MushroomObserverImage.objects.filter(gave_label=True).exclude(
        pk__in=settled_images().values("pk")
    )
    for image, photo in _known(turned):
        if photo.label_source == Photo.LabelSource.IMPORTED and len(done.unsettled) < MAX_SHOWN:
            done.unsettled.append(f"image {image.pk} ({photo}), labelled {label_of(photo)}")
    return done


def _known(
    images: QuerySet[MushroomObserverImage],
) -> Iterator[tuple[MushroomObserverImage, Photo]]:
    """Yield the photos that ChampiPy has of these images, by the photos' ids."""
    photos = Photo.objects.filter(mushroom_observer_id__isnull=False).order_by("pk")
    last = 0
    while portion := list(photos.filter(pk__gt=last).select_related("label")[:_PORTION]):
        last = portion[-1].pk
        ids = [photo.mushroom_observer_id for photo in portion]
        by_id = images.select_related("species").in_bulk(ids)
        for photo in portion:
            if photo.mushroom_observer_id in by_id:
                yield by_id[photo.mushroom_observer_id], photo


def images_wanted(species: Species) -> QuerySet[MushroomObserverImage]:
    """Return the settled images of a species that were not fetched yet.

    One of each observation comes before a second one of any, and the surest of them first.
    """
    known = Photo.objects.filter(mushroom_observer_id__isnull=False).values("mushroom_observer_id")
    wanted = settled_images().filter(species=species, gave_label=False, refused="")
    of_the_find = MushroomObserverImage.objects.filter(
        observation_id=OuterRef("observation_id"), gave_label=True
    )
    surest_first = (F("confidence").desc(), F("pk").desc())
    position = Window(RowNumber(), partition_by="observation_id", order_by=surest_first)
    return (
        wanted.exclude(pk__in=known)
        .annotate(has_photo=Exists(of_the_find), position=position)
        .order_by("has_photo", "position", *surest_first)
    )
