from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("supervision", "0014_remove_evaluation_answers_json"),
    ]

    operations = [
        migrations.AlterField(
            model_name="alert",
            name="kind",
            field=models.CharField(
                choices=[
                    ("low_accuracy", "accuracy below the target"),
                    ("new_photos", "enough new photos for a training"),
                    ("accuracy_check_failed", "the check of the accuracy failed"),
                    ("new_photos_check_failed", "the check of new photos failed"),
                    ("predictions_unanswered", "predictions are not answered"),
                    ("disk_full_soon", "the disk is nearly full"),
                    ("store_unavailable", "the object store failed"),
                    ("better_version", "a better version came with ChampiPy"),
                ],
                max_length=30,
            ),
        ),
    ]
