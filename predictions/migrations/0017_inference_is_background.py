from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('predictions', '0016_reserved_photos'),
    ]

    operations = [
        migrations.AddField(
            model_name='inference',
            name='is_background',
            field=models.BooleanField(db_default=False, default=False, help_text='Nobody has asked for it yet: the photo is not kept for training by this score until somebody does.'),
        ),
    ]
