from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [("mlmodels", "0004_run_losses")]

    operations = [
        migrations.RenameField(
            model_name="trainingrun", old_name="losses", new_name="lost_workers"
        ),
    ]
