"""Writes on observations: a new one, its answer, the verifier's decision, its deletion."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.files import File
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from common.messages import Message, Text
from common.prepared import Prepared
from mlmodels.models import ModelVersion
from observations.answers import as_told, inference_together
from observations.models import Observation, ObservationPhoto, ProposedName
from observations.queue.leases import queue_decide
from observations.selectors import answered_observations, predictions_of, species_and_key
from observations.settled import photo_credit, photo_settle
from predictions.answer_services import PredictionDeleted, prediction_wait
from predictions.deletion_services import prediction_delete
from predictions.dispatch import Send, send_to_worker
from predictions.import_services import genera_lock
from predictions.models import Inference, Photo, Prediction
from predictions.services import predictions_create
from predictions.verdicts import verdict_on

logger = logging.getLogger(__name__)

NB_PREDS = 1
"""How many species the prediction of each photo tells."""
READ_POLL_S = 0.25
"""How often a waiting request looks whether Mushroom Observer has told what it knows."""
MAX_FINISHED = 500
"""Observations that one call of `observations_finish` finishes."""


def observation_create(
    *,
    user: User,
    photos: Sequence[str | File],
    proposed: Sequence[str],
    version: ModelVersion | None,
    send: Send = send_to_worker,
) -> Observation:
    """Store an observation with a prediction for each of its photos, and return it.

    `photos` are URLs or uploads, each treated as `predictions_create` does; `proposed` are names
    that `parse_name` can read. If nothing has to be scored, the observation is answered at once.
    Raises NotAccepted, and stores nothing, if no photo is accepted.
    """
    with transaction.atomic():
        predictions = predictions_create(
            user=user, files=photos, nb_preds=NB_PREDS, version=version, send=send
        )
        observation = Observation.objects.create(user=user)
        photos_add(observation=observation, predictions=predictions)
        names_add(observation=observation, proposed=proposed)
        return observation_finish(observation_id=observation.pk) or observation


def photos_add(*, observation: Observation, predictions: Sequence[Prediction]) -> None:
    """Make these predictions the photos of an observation."""
    ObservationPhoto.objects.bulk_create(
        ObservationPhoto(observation=observation, prediction=prediction)
        for prediction in predictions
    )


def names_add(*, observation: Observation, proposed: Sequence[str]) -> None:
    """Store the names that are proposed for an observation, in their order."""
    names = []
    for name in proposed:
        species, key = species_and_key(name)
        names.append(ProposedName(observation=observation, name=name, species=species, key=key))
    ProposedName.objects.bulk_create(names)


def observation_finish(*, observation_id: int) -> Observation | None:
    """Tell what the photos of a pending observation show together, once all are answered.

    One that is to be read at Mushroom Observer is left until then. Return the observation if this
    call finished it. Photos that failed are left out; if all did,
    the observation fails with the first one's error. One whose photos were all deleted before is
    deleted as well.
    """
    with transaction.atomic():
        pending = Observation.objects.filter(pk=observation_id, status=Observation.Status.PENDING)
        observation = pending.select_for_update().first()
        if observation is None or observation.next_read_at is not None:
            return None
        predictions = predictions_of(observation)
        if any(each.status == Prediction.Status.PENDING for each in predictions):
            return None
        if not predictions:
            observation.delete()
            return None
        inferences = [each.inference for each in predictions if each.inference is not None]
        if observation.source != Observation.Source.OWN:
            _settle_photos(observation)
        if inferences:
            together = inference_together(inferences)
            observation.status = Observation.Status.DONE
            observation.answer = as_told(together)
            for name in observation.names.all():
                name_judge(name, together)
        else:
            observation.status = Observation.Status.FAILED
            observation.error_code = predictions[0].error_code
            observation.error_detail = _why_all_failed(predictions)
            observation.answer = None
        observation.save(update_fields=["status", "answer", "error_code", "error_detail"])
    return observation


def name_judge(name: ProposedName, together: Inference) -> None:
    """Store the verdict on a proposed name; `together` is what all photos show."""
    verdict = verdict_on(proposed=name.name, species=name.species, inference=together)
    if verdict is not None:
        name.verdict, name.score = verdict["verdict"], verdict["score"]
        name.because = verdict["because"]
    else:  # an earlier verdict may have been told by another version
        name.verdict, name.score, name.because = "", None, None
    name.save(update_fields=["verdict", "score", "because"])


def _settle_photos(observation: Observation) -> None:
    """Keep with the photos of Mushroom Observer whose they are, and what its community settled."""
    genera_lock()  # before any photo's
    photos = observation.photos.filter(image_id__isnull=False, prediction__inference__isnull=False)
    for of_it in photos.select_related("prediction__inference"):
        inference = of_it.prediction.inference
        if inference is not None:
            photo = Photo.objects.select_for_update().get(pk=inference.photo_id)
            photo_credit(of_it, photo)
            photo_settle(observation, photo, inference)


_photos_of = Prepared(
    lambda predictions: ObservationPhoto.objects.filter(prediction__any_of=predictions),
    predictions=list,
)


def photos_of_predictions_credit(photos: Mapping[int, Photo]) -> None:
    """Keep with photos that were just read whose they are, if they are Mushroom Observer's.

    `photos` are those of predictions, by their ids.
    """
    for found in _photos_of.all(predictions=[*photos]):
        if found.image_id is not None:
            photo_credit(found, photos[found.prediction_id])


def observations_of_predictions_finish(prediction_ids: Sequence[int]) -> None:
    """Finish the observations of predictions that were just answered."""
    of_them = _photos_of.all(predictions=[*prediction_ids])
    for observation_id in sorted({photo.observation_id for photo in of_them}):
        observation_finish(observation_id=observation_id)


def observations_finish() -> int:
    """Finish the observations whose photos are answered; return how many were found.

    They are those whose worker died before it could do so, or lost a photo by deletion.
    """
    found = list(answered_observations().values_list("pk", flat=True)[:MAX_FINISHED])
    for pk in found:
        try:
            observation_finish(observation_id=pk)
        except Exception:  # the others must not wait for this one
            logger.exception("Observation %s could not be finished", pk)
    return len(found)


def observation_wait(*, observation: Observation, timeout_s: float) -> None:
    """Wait until the observation's photos are answered, at most `timeout_s` seconds; finish it.

    One of Mushroom Observer is read there first.
    """
    deadline = time.monotonic() + timeout_s
    to_read = Observation.objects.filter(pk=observation.pk, next_read_at__isnull=False)
    while to_read.exists() and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, READ_POLL_S))
    for prediction in predictions_of(observation):
        try:
            prediction_wait(prediction=prediction, timeout_s=deadline - time.monotonic())
        except PredictionDeleted:
            continue
    observation_finish(observation_id=observation.pk)


def observation_decide(
    *,
    observation: Observation,
    decision: str,
    decision_name: str,
    by: User,
    note: str | None = None,
) -> Observation:
    """Store what the verifier decided, and when; return the observation.

    `decision_name` is one of the proposed names, or "". An empty `decision` withdraws an earlier
    one. One of the queue then belongs to who decided. `note` is stored with it; None leaves the
    former one.
    Raises Observation.DoesNotExist if it was deleted meanwhile, or given to somebody else.
    """
    decided: dict[str, Any] = {
        "decision": decision,
        "decision_name": decision_name if decision else "",
        "decided_at": timezone.now() if decision else None,
    }
    if note is not None:
        decided["note"] = note
    with transaction.atomic():
        if observation.source == Observation.Source.QUEUE:
            decided["user"] = queue_decide(observation=observation, decision=decision, by=by)
        return _update(observation, decided)


def observation_note(*, observation: Observation, note: str) -> Observation:
    """Store the verifier's note; return the observation. Raises as `observation_decide` does."""
    return _update(observation, {"note": note})


def observation_delete(*, observation: Observation) -> None:
    """Delete an observation, its predictions, and the photos that nothing else needs.

    It goes last: if the process dies meanwhile, it is there to be deleted again.
    """
    for prediction in predictions_of(observation):
        prediction_delete(prediction=prediction)
    observation.delete()


def _update(observation: Observation, fields: dict[str, Any]) -> Observation:
    if not Observation.objects.filter(pk=observation.pk).update(**fields):
        raise Observation.DoesNotExist
    for name, value in fields.items():
        setattr(observation, name, value)
    return observation


def _why_all_failed(predictions: Sequence[Prediction]) -> Text:
    first = predictions[0].error_detail
    if len(predictions) == 1:
        return first
    return Message(
        "None of the %(count)d photos could be used. The first: %(reason)s",
        count=len(predictions),
        reason=first,
    )
