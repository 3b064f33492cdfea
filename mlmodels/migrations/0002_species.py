"""The ten species of the specification."""

from django.db import migrations

SPECIES = [
    "Aleuria aurantia",
    "Amanita muscaria",
    "Coprinus comatus",
    "Lycogala epidendrum",
    "Lycoperdon perlatum",
    "Mycena haematopus",
    "Pleurotus pulmonarius",
    "Polyporus squamosus",
    "Scleroderma citrinum",
    "Trametes versicolor",
]


def create_species(apps, schema_editor):
    model = apps.get_model("mlmodels", "Species")
    for name in SPECIES:
        model.objects.get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies = [("mlmodels", "0001_initial")]
    operations = [migrations.RunPython(create_species, migrations.RunPython.noop)]
