"""Labels ChampiPy's photos of Mushroom Observer as the dumps say that they are settled."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from mlmodels.models import Species
from observations.models import MushroomObserverImage, ObservationPhoto
from predictions.community_services import CommunityOutcome, photo_label_by_community
from predictions.labels import Label, OtherSpecies, label_of
from predictions.models import Photo

MAX_SHOWN = 20
_PORTION = 500


@dataclass
class PhotosLabelled:
    """What became of the known photos, and which labels people should look at."""

    outcomes: Counter[CommunityOutcome] = field(default_factory=Counter)
    contradicted: list[str] = field(default_factory=list)
    """Photos that were imported with another label than the settled one; MAX_SHOWN at most."""
    withdrawn: list[str] = field(default_factory=list)
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
    """Bring the labels of all known photos in line with their images.

    The dumps do not tell each vote: where the site was asked for the find, and votes kept its name
    open, the dumps label nothing. A repeated call changes nothing.
    """
    done = PhotosLabelled()
    for image, photo, is_settled in _known():
        is_ours = photo.label_source == Photo.LabelSource.SETTLED
        if not is_settled and not is_ours:
            continue
        label = settled_label(image) if is_settled else None
        was = label_of(photo)
        with transaction.atomic():
            outcome = photo_label_by_community(photo=photo, label=label)
            follows = outcome == CommunityOutcome.LABELLED or (
                outcome == CommunityOutcome.SAME and is_ours
            )
            if image.gave_label != follows:
                MushroomObserverImage.objects.filter(pk=image.pk).update(gave_label=follows)
        done.outcomes[outcome] += 1
        if outcome == CommunityOutcome.WITHDRAWN and len(done.withdrawn) < MAX_SHOWN:
            done.withdrawn.append(f"image {image.pk} ({photo}) was labelled {was}")
        if outcome == CommunityOutcome.CONTRADICTED and len(done.contradicted) < MAX_SHOWN:
            done.contradicted.append(
                f"image {image.pk} ({photo}) was imported as {was}; the community says {label}"
            )
    return done


def _known() -> Iterator[tuple[MushroomObserverImage, Photo, bool]]:
    """Yield the photos that ChampiPy has of the dumps' images, and whether they are settled."""
    photos = Photo.objects.filter(mushroom_observer_id__isnull=False).order_by("pk")
    last = 0
    while portion := list(photos.filter(pk__gt=last).select_related("label")[:_PORTION]):
        last = portion[-1].pk
        ids = [photo.mushroom_observer_id or 0 for photo in portion]
        by_id = MushroomObserverImage.objects.select_related("species").in_bulk(ids)
        settled = {*settled_images().filter(pk__in=ids).values_list("pk", flat=True)}
        settled -= _open_at_the_site(ids)
        for photo in portion:
            if (image := by_id.get(photo.mushroom_observer_id or 0)) is not None:
                yield image, photo, image.pk in settled


def _open_at_the_site(ids: Sequence[int]) -> set[int | None]:
    """Return which of these images are of finds whose name was open when they were last read."""
    read = ObservationPhoto.objects.filter(image_id__in=ids, observation__read_at__isnull=False)
    names = read.order_by("observation__read_at").values_list(
        "image_id", "observation__settled_name"
    )
    return {image_id for image_id, name in dict(names).items() if not name}


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
