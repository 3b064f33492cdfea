from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PredictionsConfig(AppConfig):
    name = "predictions"
    verbose_name = _("predictions")

    def ready(self) -> None:
        """Register checks, and what administrators see of each person's predictions."""
        from accounts.people import seen_when, show_of_people
        from predictions import checks, database_checks  # noqa: F401 - registers them
        from predictions.quotas import predictions_this_month, predictions_today
        from predictions.selectors import asked_last

        show_of_people("predictions_today", _("predictions today"), predictions_today)
        show_of_people("predictions_this_month", _("this month"), predictions_this_month)
        seen_when(asked_last)
