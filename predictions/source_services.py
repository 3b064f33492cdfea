"""Writes on sources: which photo a URL returned, and which photo sent bytes held."""

from collections.abc import Mapping

from django.utils import timezone

from predictions.models import Photo, PhotoSource, Prediction
from predictions.photo_urls import mushroom_observer_image_id
from predictions.selectors import source_key


def sources_remember(photos: Mapping[Prediction, Photo]) -> None:
    """Remember which photos the URLs returned, and which photos bytes held that are not their own.

    `photos` are those of predictions.
    """
    now = timezone.now()
    sources: dict[str, PhotoSource] = {}

    def remember(key: str, prediction: Prediction, photo: Photo, *, is_permanent: bool) -> None:
        sources[key] = PhotoSource(
            key=key,
            photo=photo,
            sha256=prediction.sha256,
            is_permanent=is_permanent,
            fetched_at=now,
        )

    for prediction, photo in photos.items():
        if prediction.sha256 != photo.sha256:
            remember(prediction.sha256, prediction, photo, is_permanent=True)
        if not prediction.is_upload:
            is_permanent = mushroom_observer_image_id(prediction.file) is not None
            remember(source_key(prediction.file), prediction, photo, is_permanent=is_permanent)
    if sources:
        PhotoSource.objects.bulk_create(
            [sources[key] for key in sorted(sources)],  # in one order for all workers
            update_conflicts=True,
            unique_fields=["key"],
            update_fields=["photo", "sha256", "is_permanent", "fetched_at"],
        )
