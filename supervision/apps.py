from django.apps import AppConfig


class SupervisionConfig(AppConfig):
    name = "supervision"

    def ready(self) -> None:
        """Have photos kept that a training, an evaluation or a review needs."""
        from predictions.deletion_services import keep_photos_if
        from supervision.retention.selectors import is_photo_needed

        keep_photos_if(is_photo_needed)
