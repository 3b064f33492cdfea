"""Settings, URLs, the Celery application, and the stack that starts everything."""

from champipy_site.celery import app as celery_app

__all__ = ["celery_app"]
