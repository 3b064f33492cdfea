"""Writes on observations of Mushroom Observer: asked for, read by a worker, brought up to date.

The row is the truth: one whose `next_read_at` is due is read, whatever happened to the message that
said so. Taking in what the site tells is repeatable: only what changed is fetched and judged.
"""

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import User
from common.broker import send_task
from common.messages import Message, Text
from mlmodels.names import InvalidName, parse_name
from mlmodels.selectors import production_version
from observations.errors import FAILURES
from observations.models import Observation, ObservationPhoto, ProposedName
from observations.mushroom_observer import answers
from observations.mushroom_observer.client import MAX_IDS, not_found, observations_read
from observations.mushroom_observer.errors import MushroomObserverError
from observations.mushroom_observer.references import image_url, observation_url
from observations.mushroom_observer.species import NameMeaning, meanings_of
from observations.remarks import remark
from observations.services import NB_PREDS, observation_finish
from observations.settled import settled_name
from predictions.community_services import photo_label_by_community
from predictions.deletion_services import prediction_delete
from predictions.dispatch import Send, send_to_worker
from predictions.errors import NotAccepted
from predictions.import_services import genera_lock
from predictions.models import Prediction
from predictions.services import predictions_create

logger = logging.getLogger(__name__)

READ_TASK = "observations.tasks.read_observations"
MAX_PHOTOS = 12
PHOTO_SIZE = 320
"""Pixels of the photos' longer side that are fetched; docs/model-card.md says why."""
RESEND_PAUSE = timedelta(minutes=2)
"""An observation that a worker began to read is read again after this, if nothing came of it."""
MAX_READS = 3
"""An observation is given up after this many workers have started to read it without a result."""
EXPIRES_S = 60.0

_reading = threading.Lock()
"""Held by the one thread of this process that reads: the others have other things to do."""


def observation_ask(*, user: User, number: int) -> Observation:
    """Have observation `number` of Mushroom Observer read for a user; return it, pending.

    Each user has one row for it. Asked for again, it keeps its photos, its names, its decision and
    its answer until the site has told what changed.
    """
    with transaction.atomic():
        observation, _ = Observation.objects.get_or_create(
            user=user,
            source=Observation.Source.MUSHROOM_OBSERVER,
            mushroom_observer_id=number,
            defaults={"url": observation_url(number), "next_read_at": timezone.now()},
        )
        observation_reread(observation=observation)
    observation.refresh_from_db()
    return observation


def observation_reread(*, observation: Observation) -> None:
    """Have an observation of Mushroom Observer read there again, unless it is pending."""
    answered = Observation.objects.filter(pk=observation.pk).exclude(
        status=Observation.Status.PENDING
    )
    answered.update(
        status=Observation.Status.PENDING,
        error_code="",
        error_detail="",
        url=observation_url(observation.mushroom_observer_id or 0),
        next_read_at=timezone.now(),
        reads=0,
    )
    transaction.on_commit(lambda: send_task(READ_TASK, expires_s=EXPIRES_S))


def observations_read_due() -> int:
    """Read the observations that are due, as many as possible in one call; return how many.

    One thread of a process does it at a time, until none is due: the calls follow one another at
    the site's pace anyway.
    """
    if not _reading.acquire(blocking=False):
        return 0
    count = 0
    try:
        while due := _claimed():
            _read([each for each in due if each.read_at is None], is_fresh=False)
            _read([each for each in due if each.read_at is not None], is_fresh=True)
            count += len(due)
    finally:
        _reading.release()
    return count


def _claimed() -> list[Observation]:
    """Take observations that are due, and set when they are due again if this process dies."""
    now = timezone.now()
    with transaction.atomic():
        due = Observation.objects.filter(next_read_at__lte=now).order_by("next_read_at")
        claimed = list(due.select_for_update(skip_locked=True)[:MAX_IDS])
        Observation.objects.filter(pk__in=[each.pk for each in claimed]).update(
            reads=F("reads") + 1, next_read_at=now + RESEND_PAUSE
        )
    hopeless = [each for each in claimed if each.reads >= MAX_READS]
    for observation in hopeless:
        observation_give_up(
            observation=observation,
            code="mushroom_observer_unavailable",
            detail=Message(
                "The observation could not be read, even after several attempts. Try again."
            ),
        )
    return [each for each in claimed if each not in hopeless]


def _read(observations: Sequence[Observation], *, is_fresh: bool) -> None:
    """Ask the site for observations, and take in what it tells, or that it tells nothing."""
    numbers = {each.mushroom_observer_id or 0 for each in observations}
    if not numbers:
        return
    try:
        found = observations_read(sorted(numbers), is_fresh=is_fresh)
    except MushroomObserverError as error:
        for observation in observations:
            observation_give_up(observation=observation, code=error.code, detail=error.detail)
        return
    meanings = meanings_of(name for each in found.values() for name in each.names)
    for observation in observations:
        there = found.get(observation.mushroom_observer_id or 0)
        try:
            if there is None:
                missing = not_found(observation.mushroom_observer_id or 0)
                observation_give_up(
                    observation=observation, code=missing.code, detail=missing.detail
                )
            else:
                observation_take_in(observation=observation, there=there, meanings=meanings)
        except Exception:  # the others must not wait for this one, which is due again later
            logger.exception("%s could not be taken in", observation)


def observation_give_up(*, observation: Observation, code: str, detail: Text) -> None:
    """Let a pending observation fail; what was told of it before stays."""
    Observation.objects.filter(pk=observation.pk, status=Observation.Status.PENDING).update(
        status=Observation.Status.FAILED,
        error_code=code if code in FAILURES else "mushroom_observer_unavailable",
        error_detail=detail,
        next_read_at=None,
    )


def observation_take_in(
    *,
    observation: Observation,
    there: answers.Observation,
    meanings: Mapping[int, NameMeaning],
    send: Send = send_to_worker,
) -> None:
    """Bring a pending observation in line with what Mushroom Observer tells of it.

    `meanings` is what `there.names` stand for here (`meanings_of`), by their ids.
    Its names and votes become those that are `there`. Photos that are new there, or failed here,
    are fetched by predictions, at most MAX_PHOTOS in all; those that are gone there are deleted.
    If nothing has to be scored, it is answered at once.
    """
    is_background = observation.source == Observation.Source.QUEUE
    with transaction.atomic():
        pending = Observation.objects.select_for_update()
        row = pending.filter(pk=observation.pk, status=Observation.Status.PENDING).first()
        if row is None:
            return
        genera_lock()  # before any photo's
        row.read_at, row.next_read_at = timezone.now(), None
        row.changed_there_at, row.fingerprint = there.updated_at, there.fingerprint
        row.remarks = _remarks(there)
        _take_in_settled(row, there, meanings)
        _take_in_names(row, there, meanings)
        images = there.images[:MAX_PHOTOS]
        try:
            _take_in_photos(row, images, send, is_background=is_background)
        except NotAccepted as refused:
            row.status, row.error_code = Observation.Status.FAILED, refused.code
            row.error_detail = refused.detail
        if not images:
            row.status, row.error_code = Observation.Status.FAILED, "observation_without_photos"
            row.error_detail = FAILURES["observation_without_photos"].detail
            row.answer = None
        row.save()
        observation_finish(observation_id=row.pk)


def _remarks(there: answers.Observation) -> list[dict]:
    images = there.images[:MAX_PHOTOS]
    reserved = sum(not image.is_usable for image in images)
    remarks = []
    if len(there.images) > len(images):
        remarks.append(remark("more_photos", count=len(there.images), used=len(images)))
    if images and not there.namings:
        remarks.append(remark("no_names"))
    if reserved:
        remarks.append(remark("reserved_photos", count=reserved))
    return remarks


def _take_in_settled(
    observation: Observation, there: answers.Observation, meanings: Mapping[int, NameMeaning]
) -> None:
    """Set what is settled; leave it as it was where the site did not tell the synonyms."""
    if all(each.id in meanings and meanings[each.id].is_sure for each in there.names):
        name = settled_name(there, meanings)
        observation.settled_name = _readable(name)[0] if name else ""
        observation.settled_species = meanings[name.id].species if name else ""


def _take_in_names(
    observation: Observation, there: answers.Observation, meanings: Mapping[int, NameMeaning]
) -> None:
    """Make the proposed names those that are there, in their order; names proposed here stay."""
    there_before = observation.names.filter(naming_id__isnull=False)
    stored = {name.naming_id: name for name in there_before}
    for naming in there.namings:
        name = stored.pop(naming.id, None) or ProposedName(
            observation=observation, naming_id=naming.id
        )
        name.name, key = _readable(naming.name)
        name.species = meanings[naming.name.id].species
        name.key = name.species.lower() or key
        name.name_id = naming.name.id
        name.confidence = naming.confidence
        name.votes = sorted((vote.value for vote in naming.votes), reverse=True)
        name.is_consensus = there.consensus is not None and there.consensus.id == naming.name.id
        name.save()
    observation.names.filter(pk__in=[name.pk for name in stored.values()]).delete()


def _readable(name: answers.Name) -> tuple[str, str]:
    """Return a name that `parse_name` can read, and the key to compare it by."""
    text = name.text
    try:
        parsed = parse_name(text)
    except InvalidName:
        text = " ".join(re.sub(r"[^A-Za-z0-9 .,;:?!()\[\]'\"&/+-]", " ", text).split())
        text = text if re.search("[A-Za-z]", text) else f"Name {name.id}"
        parsed = parse_name(text)
    return text, parsed.species or parsed.text.lower()


def _take_in_photos(
    observation: Observation, images: Sequence[answers.Image], send: Send, *, is_background: bool
) -> None:
    """Make the photos those that are there. Raises NotAccepted if no new one may be asked for."""
    stored = {}
    wanted = {image.id for image in images}
    for photo in observation.photos.select_related("prediction__inference__photo"):
        has_failed = photo.prediction.status == Prediction.Status.FAILED
        if photo.image_id not in wanted or has_failed:
            if photo.prediction.inference is not None:
                photo_label_by_community(photo=photo.prediction.inference.photo, label=None)
            prediction_delete(prediction=photo.prediction)
        else:
            stored[photo.image_id] = photo
    new = [image for image in images if image.id not in stored]
    if new:
        predictions = predictions_create(
            user=observation.user,
            files=[image_url(image.id, PHOTO_SIZE) for image in new],
            nb_preds=NB_PREDS,
            version=production_version(),
            is_background=is_background,
            send=send,
        )
        for image, prediction in zip(new, predictions, strict=True):
            stored[image.id] = ObservationPhoto(
                observation=observation, prediction=prediction, image_id=image.id
            )
    for image in images:
        photo = stored[image.id]
        photo.holder, photo.year = image.holder, image.year
        photo.licence, photo.is_usable = image.licence, image.is_usable
        photo.save()
