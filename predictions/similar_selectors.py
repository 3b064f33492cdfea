"""Finds similar photos among those that may be shown to anybody."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import BooleanField, Exists, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL

from accounts.models import User
from mlmodels.ml.embedder import embedder
from mlmodels.ml.preprocessing import NEAR_DUPLICATE_BITS
from predictions.labels import NAMED, Label, OtherSpecies
from predictions.models import Photo, PhotoEmbedding, Prediction
from predictions.vector_services import VECTOR

MAX_EXACT = 10_000
"""Up to this many photos each is compared; among more, the index searches."""
EF_SEARCH = 200
"""Candidates that the index keeps (hnsw.ef_search): more find more of the nearest, and take longer.
"""
MAX_SCANNED = 100_000
"""Rows that the index goes through when a filter leaves out what it finds."""
MARGIN = 4
"""Times as many photos as are wanted, which the index is asked for."""


@dataclass(frozen=True)
class SimilarPhoto:
    """A photo that may be shown to anybody, and how similar it is to another."""

    photo: Photo
    cosine: float
    """Of the embeddings, -1 to 1."""


def is_listed() -> Q:
    """Return the condition that a photo may be shown to anybody as similar to another.

    It has a licence that allows that, bytes, and a name that somebody gave it, and no administrator
    excluded it.
    """
    has_name = Q(label__isnull=False) | ~Q(other_name="")
    return ~Q(licence="") & ~Q(file="") & Q(excluded=False, label_source__in=NAMED) & has_name


def is_called(label: Label) -> Q:
    """Return the condition that a photo has this label."""
    if isinstance(label, OtherSpecies):
        return Q(label__isnull=True, other_name=label.name)
    return Q(label=label)


def photos_visible_to(user: User) -> QuerySet[Photo]:
    """Return the listed photos and those of the user's predictions; all for an administrator.

    Reserved photos are shown to nobody.
    """
    photos = Photo.objects.filter(is_reserved=False)
    if user.is_admin:
        return photos
    own = Prediction.objects.filter(user=user, inference__photo=OuterRef("pk"))
    return photos.filter(is_listed() | Exists(own))


def is_any_called(name: OtherSpecies) -> bool:
    """Return whether a listed photo has the name of another species."""
    return Photo.objects.filter(is_listed(), is_called(name)).exists()


def similar_photos(
    *, photo: Photo, numbers: Sequence[float], label: Label | None, count: int
) -> list[SimilarPhoto]:
    """Return the listed photos most similar to `photo`, the most similar first.

    Only those with `label`, if it is given. Copies of `photo` are left out: near-duplicates by the
    perceptual hash, and the same image of Mushroom Observer. `numbers` is the photo's embedding.

    All photos are compared where that is quick. Among more the index searches, and goes on until it
    has found enough that the filters let through.
    """
    rows = PhotoEmbedding.objects.filter(embedder=embedder().id, numbers__isnull=False)
    candidates = _others_than(photo).filter(is_listed()).values("pk")
    if label is not None:
        candidates = candidates.filter(is_called(label))
    is_exact = _is_at_most(MAX_EXACT, label)
    distance = f"numbers::{VECTOR} <=> %s::{VECTOR}"  # in the words of the index
    if is_exact:
        distance = f"({distance}) + 0"  # no index can sort by this
        rows = rows.filter(_is_among(candidates))
    else:
        rows = rows.filter(photo__in=candidates)
    nearest = rows.annotate(distance=RawSQL(distance, [str(list(numbers))]))  # noqa: S611
    with transaction.atomic(), connection.cursor() as cursor:
        if not is_exact:
            cursor.execute(f"SET LOCAL hnsw.ef_search = {EF_SEARCH}")
            cursor.execute("SET LOCAL hnsw.iterative_scan = 'relaxed_order'")
            cursor.execute(f"SET LOCAL hnsw.max_scan_tuples = {MAX_SCANNED}")
        # The index returns what it finds late, out of order: a few more, sorted, miss fewer.
        several = nearest.order_by("distance").values_list("distance", "photo")[: MARGIN * count]
        found = sorted(several)[:count]
    photos = Photo.objects.select_related("label").in_bulk([pk for _, pk in found])
    return [SimilarPhoto(photos[pk], 1 - distance) for distance, pk in found if pk in photos]


def _others_than(photo: Photo) -> QuerySet[Photo]:
    """Return the photos that are no copies of `photo`."""
    bits = RawSQL("bit_count((perceptual_hash # %s)::bit(64))", [photo.perceptual_hash])
    others = Photo.objects.exclude(pk=photo.pk).alias(bits=bits)
    others = others.filter(bits__gt=NEAR_DUPLICATE_BITS).order_by()
    if photo.mushroom_observer_id is not None:
        others = others.exclude(mushroom_observer_id=photo.mushroom_observer_id)
    return others


def _is_among(photos: QuerySet) -> RawSQL:
    """Return the condition that an embedding is of one of `photos`, a query of their ids.

    PostgreSQL looks an array up in the primary key at once; a join takes twice as long.
    """
    sql, parameters = photos.query.sql_with_params()
    among = f'"predictions_photoembedding"."photo_id" = ANY(ARRAY({sql}))'
    return RawSQL(among, parameters, output_field=BooleanField())  # noqa: S611


def _is_at_most(count: int, label: Label | None) -> bool:
    """Return whether at most `count` photos (of a label) have a licence."""
    photos = Photo.objects.exclude(licence="").order_by()
    if label is not None:
        photos = photos.filter(is_called(label))
    return photos[: count + 1].count() <= count
