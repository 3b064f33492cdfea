from django.apps import AppConfig, apps


class CommonConfig(AppConfig):
    """Templates, styles and template tags of all pages; checks of the way to the database."""

    name = "common"

    def ready(self) -> None:
        """Register checks; translate the names of models and fields: all are loaded by now."""
        from common import database_checks, storage_checks  # noqa: F401 - registers them
        from common.names import translate_names

        translate_names(apps.get_models())
