"""Labels that came from dumps counted as imported; they are settled at Mushroom Observer."""

from django.db import migrations

_SETTLED = """
UPDATE predictions_photo p SET label_source = 'settled'
FROM observations_mushroomobserverimage i
WHERE i.image_id = p.mushroom_observer_id AND i.gave_label
  AND p.label_source = 'imported' AND p.split <> 'evaluation' AND p.reviewed_at IS NULL
"""


class Migration(migrations.Migration):
    dependencies = [
        ("observations", "0009_names_below_species"),
        ("predictions", "0016_reserved_photos"),
    ]

    operations = [migrations.RunSQL(_SETTLED, migrations.RunSQL.noop)]
