"""The extension `vector` of PostgreSQL, and the index that finds similar photos by it.

Only these depend on the extension: the table of embeddings holds plain arrays, so migrations, and
everything but the search for similar photos, work without it.
"""

import logging
import re

from django.db import DatabaseError, connection, transaction

from common.messages import Message
from mlmodels.ml.embedder import SIZE, embedder

logger = logging.getLogger(__name__)

EXTENSION = "vector"
MIN_VERSION = (0, 8)
"""The first version that goes on searching when a filter leaves out what it has found."""
VECTOR = f"halfvec({SIZE})"
"""The type that queries and the index cast an embedding to: two bytes a number."""
INDEX_PREFIX = "embeddings_"
"""Begins the name of the index; the first digits of the embedder's id follow."""


NO_VECTORS = Message(
    "ChampiPy's database lacks PostgreSQL's extension vector (0.8 or later): "
    "similar photos are off, everything else works."
)


def has_vectors() -> bool:
    """Return whether the database can search for similar photos."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extversion FROM pg_extension WHERE extname = %s AND "
            "to_regtype('halfvec') IS NOT NULL",
            [EXTENSION],
        )
        row = cursor.fetchone()
    return row is not None and _version(row[0]) >= MIN_VERSION


def vectors_prepare() -> bool:
    """Make the extension and the index as far as they are missing; return `has_vectors`.

    The extension is made where the server has it and the role may make it. An index of another
    embedder goes. Building one takes a minute or two for 100,000 photos; nothing is embedded
    meanwhile.
    """
    if not has_vectors():
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {EXTENSION}")
                cursor.execute(f"ALTER EXTENSION {EXTENSION} UPDATE")
        except DatabaseError as error:
            logger.warning("The extension %s could not be made: %s", EXTENSION, error)
    if not has_vectors():
        return False
    _index_make()
    return True


def _index_make() -> None:
    embedder_id = embedder().id
    name = f"{INDEX_PREFIX}{embedder_id[:12]}"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL maintenance_work_mem = '128MB'")
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema AND "
            "tablename = 'predictions_photoembedding' AND starts_with(indexname, %s)",
            [INDEX_PREFIX],
        )
        found = {row[0] for row in cursor.fetchall()}
        for other in found - {name}:
            cursor.execute(f"DROP INDEX {connection.ops.quote_name(other)}")
        if name not in found:
            # The id is hexadecimal, and a predicate takes no parameters.
            cursor.execute(
                f"CREATE INDEX {name} ON predictions_photoembedding "
                f"USING hnsw ((numbers::{VECTOR}) halfvec_cosine_ops) "
                f"WHERE embedder = '{embedder_id}' AND numbers IS NOT NULL"
            )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall("[0-9]+", text)[:2])
