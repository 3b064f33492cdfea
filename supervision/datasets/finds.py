"""Groups stored photos by find."""

from collections.abc import Sequence

from mlmodels.ml.dataset import group_photos
from mlmodels.ml.preprocessing import NEAR_DUPLICATE_BITS
from predictions.models import Photo
from predictions.selectors import SAME_OBSERVATION_IDS


def photo_groups(photos: Sequence[Photo]) -> list[str]:
    """Return each photo's group; the photos of a group probably show the same find."""
    return group_photos(
        [photo.label_id or 0 for photo in photos],
        [photo.mushroom_observer_id for photo in photos],
        [photo.perceptual_hash % (1 << 64) for photo in photos],
        id_distance=SAME_OBSERVATION_IDS,
        hash_distance=NEAR_DUPLICATE_BITS,
    )
