from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('supervision', '0013_evaluation_answer_rows'),
    ]

    operations = [
        migrations.RemoveField('evaluation', 'answers_json'),
    ]
