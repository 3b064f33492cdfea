"""Writes on the names that a user proposes for a find here."""

from collections.abc import Sequence

from django.db import transaction

from observations.answers import inference_together
from observations.models import Observation
from observations.selectors import predictions_of
from observations.services import name_judge, names_add


def names_replace(*, observation: Observation, proposed: Sequence[str]) -> None:
    """Make `proposed` the names that were proposed here for a find, and judge the new ones.

    `proposed` are names that `parse_name` can read. Names of Mushroom Observer stay, and so does
    the one that the user has decided about. No photo is scored again. Raises
    Observation.DoesNotExist if the find was deleted meanwhile.
    """
    with transaction.atomic():
        row = Observation.objects.select_for_update().get(pk=observation.pk)
        stored = {name.name: name for name in row.names.all()}
        for text, name in stored.items():
            is_own = name.naming_id is None
            if is_own and text not in proposed and text != row.decision_name:
                name.delete()
        new = [text for text in dict.fromkeys(proposed) if text not in stored]
        names_add(observation=row, proposed=new)
        if row.status == Observation.Status.PENDING:
            return  # they are judged with the answer
        answered = [each.inference for each in predictions_of(row) if each.inference is not None]
        if new and answered:
            together = inference_together(answered)
            for name in row.names.filter(name__in=new):
                name_judge(name, together)
