"""Indexes for the search of photos, built while photos are in use.

Not atomic. Every step may run again after it was cut off.
"""

from django.contrib.postgres.indexes import OpClass
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Func, Value
from django.db.models.functions import Left, Upper

ADDRESS_KEY = Upper(
    Left(Func("origin", Value("^https?://"), Value(""), function="regexp_replace"), 100)
)
FILE_NAME_KEY = Upper(Left(Func("origin", Value("[^/]*$"), function="substring"), 100))


def _add_index(key, name):
    """Build an index anew: one that was cut off is left behind invalid."""
    drop = f"DROP INDEX CONCURRENTLY IF EXISTS {name}"
    index = models.Index(OpClass(key, "text_pattern_ops"), name=name)
    return [migrations.RunSQL(drop, migrations.RunSQL.noop), AddIndexConcurrently("photo", index)]


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ("predictions", "0008_proposed_names"),
    ]

    operations = [
        *_add_index(ADDRESS_KEY, "photos_by_address"),
        *_add_index(FILE_NAME_KEY, "photos_by_file_name"),
    ]
