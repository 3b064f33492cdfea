"""Takes from the staged dumps what ChampiPy keeps of images, and whose its photos are."""

from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from observations.models import MushroomObserverImage
from observations.mushroom_observer.references import image_page_url
from predictions.models import MAX_OTHER_NAME, Photo

_IMAGES = MushroomObserverImage._meta.db_table
_PHOTOS = Photo._meta.db_table

_FOUND = f"""
CREATE TEMPORARY TABLE dump_found ON COMMIT DROP AS
SELECT l.image_id, min(l.observation_id) AS observation_id, min(ours.species_id) AS species_id,
       CASE WHEN min(ours.species_id) IS NULL AND length(min(n.key)) <= {MAX_OTHER_NAME}
            THEN upper(left(min(n.key), 1)) || substr(min(n.key), 2) ELSE '' END AS other_name,
       min(o.confidence) AS confidence
FROM dump_links l
JOIN dump_observations o ON o.id = l.observation_id
JOIN dump_names n ON n.id = o.name_id
LEFT JOIN dump_ours ours ON ours.name_id = o.name_id
GROUP BY l.image_id
HAVING count(DISTINCT coalesce(ours.species_id::text, n.key, n.text)) = 1;
"""  # noqa: S608
# Of other species, one image of each name comes before the second one of any.
_KEPT = f"""
CREATE TEMPORARY TABLE dump_kept ON COMMIT DROP AS
WITH known AS (
    SELECT f.*, i.holder, i.licence, i.ok_for_export
    FROM dump_found f JOIN dump_images i ON i.id = f.image_id
), others AS (
    SELECT image_id, other_name, row_number() OVER (
        PARTITION BY other_name ORDER BY confidence DESC, image_id
    ) AS position
    FROM known
    WHERE species_id IS NULL AND other_name <> '' AND confidence >= %(settled)s
      AND ok_for_export AND licence <> ''
      AND lower(other_name) NOT IN (SELECT key FROM mlmodels_speciesname)
      AND lower(other_name) NOT IN (SELECT lower(name) FROM mlmodels_species)
), chosen AS (
    SELECT image_id FROM others
    ORDER BY position, md5(other_name), image_id LIMIT %(others)s
)
SELECT DISTINCT ON (image_id) * FROM known
WHERE species_id IS NOT NULL OR image_id IN (SELECT image_id FROM chosen)
   OR image_id IN (SELECT image_id FROM {_IMAGES} WHERE gave_label)
ORDER BY image_id;
CREATE UNIQUE INDEX ON dump_kept (image_id);
"""  # noqa: S608
_FIELDS = (
    "image_id, observation_id, species_id, other_name, confidence, holder, licence, ok_for_export"
)
_WRITE = f"""
INSERT INTO {_IMAGES} AS old ({_FIELDS})
SELECT {_FIELDS} FROM dump_kept
ON CONFLICT (image_id) DO UPDATE SET
    observation_id = excluded.observation_id, species_id = excluded.species_id,
    other_name = excluded.other_name, confidence = excluded.confidence,
    holder = excluded.holder, licence = excluded.licence, ok_for_export = excluded.ok_for_export
WHERE (old.observation_id, old.species_id, old.other_name, old.confidence, old.holder, old.licence,
       old.ok_for_export)
   IS DISTINCT FROM
      (excluded.observation_id, excluded.species_id, excluded.other_name, excluded.confidence,
       excluded.holder, excluded.licence, excluded.ok_for_export)
"""  # noqa: S608
# What gave a label, but is in no dump any more, stays to be told.
_UNSUPPORTED = f"""
UPDATE {_IMAGES} SET species_id = NULL, other_name = '', confidence = 0
WHERE gave_label AND image_id NOT IN (SELECT image_id FROM dump_kept)
  AND (species_id IS NOT NULL OR other_name <> '' OR confidence <> 0)
"""  # noqa: S608
_FORGET = f"""
DELETE FROM {_IMAGES} old
WHERE NOT gave_label AND NOT EXISTS (SELECT FROM dump_kept k WHERE k.image_id = old.image_id)
"""  # noqa: S608
_TOLD = f"""
(
    SELECT id, holder, CASE WHEN ok_for_export THEN licence ELSE '' END AS usable FROM dump_images
) i
WHERE i.id = {_PHOTOS}.mushroom_observer_id
  AND ({_PHOTOS}.source = %(page)s || i.id
       OR ({_PHOTOS}.author = '' AND {_PHOTOS}.licence = '' AND {_PHOTOS}.source = ''))
"""  # noqa: S608
# A reserved photo may be in no training, so this comes first.
_LEAVE_TRAINING = f"""
UPDATE {_PHOTOS} SET split = '', split_at = NULL FROM {_TOLD}
  AND i.usable = '' AND split = 'training'
"""  # noqa: S608
_ATTRIBUTE = f"""
UPDATE {_PHOTOS}
SET author = i.holder, licence = i.usable, source = %(page)s || i.id, is_reserved = i.usable = ''
FROM {_TOLD}
  AND (author, {_PHOTOS}.licence, source, is_reserved) IS DISTINCT FROM
      (i.holder, i.usable, %(page)s || i.id, i.usable = '')
"""  # noqa: S608


@dataclass(frozen=True)
class ImagesImported:
    """How many rows an import wrote and deleted, and what it changed of photos that are here."""

    written: int
    deleted: int
    attributed: int
    """Photos whose author, licence or page has changed."""
    reserved: int
    """Training photos that may not be trained on any more."""


def images_import(*, max_others: int) -> ImagesImported:
    """Write the rows of images that are kept, and give known photos author and licence.

    Photos without their owner's consent or a known licence become reserved, and are no training
    photos any more, as where an observation is read.

    `max_others` is how many images of other species are kept. An author and a licence that came
    from elsewhere stay. Call it after `names_import`, in the same transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FOUND)
        cursor.execute("ANALYZE dump_found")
        cursor.execute(
            _KEPT, {"settled": settings.CHAMPIPY_SETTLED_CONFIDENCE, "others": max_others}
        )
        cursor.execute("ANALYZE dump_kept")
        cursor.execute(_UNSUPPORTED)
        unsupported = cursor.rowcount
        cursor.execute(_WRITE)
        written = cursor.rowcount + unsupported
        cursor.execute(_FORGET)
        deleted = cursor.rowcount
        page = {"page": image_page_url(0).removesuffix("0")}
        cursor.execute(_LEAVE_TRAINING, page)
        reserved = cursor.rowcount
        cursor.execute(_ATTRIBUTE, page)
        return ImagesImported(written, deleted, cursor.rowcount, reserved)
