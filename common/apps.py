from django.apps import AppConfig, apps


class CommonConfig(AppConfig):
    """Templates, styles and template tags of all pages. It has no models."""

    name = "common"

    def ready(self) -> None:
        """Translate what fields are called; all models are loaded by now."""
        from common.field_names import translate_field_names

        translate_field_names(apps.get_models())
