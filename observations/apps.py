from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ObservationsConfig(AppConfig):
    name = "observations"
    verbose_name = _("observations")

    def ready(self) -> None:
        """Have observations finished, pruned and shown where predictions are."""
        from accounts.people import seen_when, show_of_people
        from observations.queue.selectors import is_shown_to, old_entries
        from observations.selectors import decided_last, decisions_of, old_observations
        from observations.services import (
            observations_of_predictions_finish,
            photos_of_predictions_credit,
        )
        from predictions.answer_services import call_when_answered
        from predictions.deletion_services import prune_as_well
        from predictions.photo_services import call_when_read
        from predictions.selectors import show_as_well

        call_when_answered(observations_of_predictions_finish)
        call_when_read(photos_of_predictions_credit)
        prune_as_well("observations", old_observations)
        prune_as_well("finds in the queue", old_entries)
        show_as_well(is_shown_to)
        show_of_people("decisions", _("decisions"), decisions_of)
        seen_when(decided_last)
