from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy

OURS = ("accounts", "mlmodels", "predictions", "observations", "supervision")


class CommonConfig(AppConfig):
    """Templates, styles and template tags of all pages. It has no models."""

    name = "common"

    def ready(self) -> None:
        """Let the admin show the names of fields in the reader's language.

        They are those in the models ("created at"); `champipy_site/translations.py` collects them.
        """
        for label in OURS:
            for model in apps.get_app_config(label).get_models():
                for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
                    field.verbose_name = gettext_lazy(str(field.verbose_name))
