from django.apps import AppConfig


class ObservationsConfig(AppConfig):
    name = "observations"

    def ready(self) -> None:
        """Have observations finished and pruned where predictions are."""
        from observations.selectors import old_observations
        from observations.services import observation_of_prediction_finish
        from predictions.answer_services import call_when_answered
        from predictions.deletion_services import prune_as_well

        call_when_answered(observation_of_prediction_finish)
        prune_as_well("observations", old_observations)
