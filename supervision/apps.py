from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SupervisionConfig(AppConfig):
    name = "supervision"
    verbose_name = _("supervision")

    def ready(self) -> None:
        """Have photos kept that are needed here, and photos that people reviewed counted."""
        from accounts.people import seen_when, show_of_people
        from predictions.deletion_services import keep_photos_if
        from supervision.retention.selectors import is_photo_needed
        from supervision.review.history import reviewed_last, reviews_of

        keep_photos_if(is_photo_needed)
        show_of_people("reviews", _("photos reviewed"), reviews_of)
        seen_when(reviewed_last)
