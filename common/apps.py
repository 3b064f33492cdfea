from django.apps import AppConfig


class CommonConfig(AppConfig):
    """Templates, styles and template tags of all pages. It has no models."""

    name = "common"
