"""What worker `inference` does for pending predictions: it scores their photos.

Several photos are in hand at a time: two are scored, and meanwhile the answers of those before are
stored in one transaction, and further ones taken. Each step may run twice, and the process may die
at any line.
"""

import functools
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Self

import numpy as np
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from common.messages import Message
from common.metrics import SCORING_WAIT_SECONDS
from common.prepared import Prepared
from common.request_id import request_id
from common.storage import StorageUnavailable
from common.tracing import span
from mlmodels.ml.picture_end import picture_length
from mlmodels.ml.preprocessing import PhotoError, decode_photo, to_input
from mlmodels.models import ModelVersion
from mlmodels.photo_answers import PhotoAnswer
from mlmodels.scoring import LANES, load_engine, scorer
from mlmodels.selectors import production_version
from predictions.answer_services import answer_write, answers_announce, prediction_finish
from predictions.dispatch import (
    INFERENCE_RESEND_PAUSE_S,
    Send,
    schedule_resend,
    send_scoring,
    send_to_worker,
)
from predictions.errors import PredictionRefused
from predictions.fair_shares import share_of, waiting_send
from predictions.incoming import incoming_delete, incoming_read
from predictions.inference_services import inference_of, is_sure
from predictions.models import Inference, Photo, Prediction
from predictions.photo_services import (
    DecodedPhoto,
    photo_keep_for_training,
    photo_read,
    photos_announce,
    photos_store,
)
from predictions.scoring_wakeup import (
    are_workers_idle,
    stay_awake,
    stop_being_awake,
    wait_for_photos,
)
from predictions.selectors import stored_inferences
from predictions.source_services import sources_remember
from predictions.storage_space import refuse_when_full

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
"""A photo is given up after this many workers have started to score it without an answer."""
MAX_IN_HAND = 3 * LANES
"""Photos that are being scored, or are next. Half of them are taken, and stored, at a time."""
SCORING_S = 1.0
"""After this time a worker that scores what waits lets other tasks have a turn."""
LINGER_S = 0.1
"""How long it waits for further photos, so that these need no messages."""

_decoding = threading.Lock()
"""Decoding the largest photos takes 400 MB, for a moment."""


@dataclass(frozen=True)
class Scored:
    """A photo that was decoded and scored."""

    photo: DecodedPhoto
    answer: PhotoAnswer
    duration_ms: float


@dataclass
class Work:
    """Predictions of one photo in hand, and what became of it."""

    sha256: str
    predictions: list[Prediction]
    version: ModelVersion
    score: Callable[[np.ndarray], PhotoAnswer]
    scored: Scored | None = None
    inference: Inference | None = None
    """It was stored before."""
    error: PredictionRefused | None = None
    unavailable: StorageUnavailable | None = None
    """The object store did not answer: it is done later."""
    data: bytes | None = field(default=None, repr=False)
    """Its bytes, if they were not among those that were sent."""

    def of(self, pending: set[int]) -> Self:
        """Return the work for those of its predictions that are pending."""
        return replace(self, predictions=[each for each in self.predictions if each.pk in pending])


def waiting_score(*, send: Send = send_to_worker, seconds: float = SCORING_S) -> None:
    """Score what waits, for some seconds; if more waits then, send a message to go on.

    A prediction is taken only once here. If this process dies, its row is sent again, with a
    message of its own.
    """
    deadline = time.monotonic() + seconds
    in_hand: dict[Future[None], Work] = {}
    is_last_look = False
    stay_awake()
    while True:
        is_late = time.monotonic() > deadline
        free = 0 if is_late or len(in_hand) > MAX_IN_HAND // 2 else MAX_IN_HAND - len(in_hand)
        taken = _take_waiting(free) if free else []
        if free and len(taken) == free and are_workers_idle():
            send_scoring()
        _add_work(taken, in_hand, send)
        if in_hand:
            _finish_done(in_hand, send)
        elif is_late:
            stay_awake()
            send_scoring()
            return
        elif taken:
            continue
        elif is_last_look:
            return
        elif wait_for_photos(LINGER_S):
            stay_awake()
        else:
            stop_being_awake()
            is_last_look = True
            continue
        is_last_look = False


def prediction_infer(*, prediction_id: int, send: Send = send_to_worker) -> None:
    """Score the photo of a pending prediction with the version in production, and answer it.

    If the photo's file is missing or holds other bytes, a URL is fetched again instead. Then the
    next predictions of the same user are sent, if any wait.
    """
    is_started = Prediction.objects.filter(
        pk=prediction_id, status=Prediction.Status.PENDING, attempts__lt=MAX_ATTEMPTS
    ).update(attempts=F("attempts") + 1)
    prediction = Prediction.objects.filter(pk=prediction_id).first()
    if prediction is None or prediction.status != Prediction.Status.PENDING:
        return
    if not is_started:  # MAX_ATTEMPTS workers have started before
        _refuse([prediction], PredictionRefused("prediction_failed"), send)
        return
    for work in _works([prediction], send):
        if work.inference is None:
            _score(work)
        _finish([work], send)


def production_engine_load() -> None:
    """Load the engine of the version in production into this process, if there is one."""
    version = production_version()
    if version is not None:
        load_engine(version)


def _take_waiting(count: int) -> list[Prediction]:
    """Take predictions that were sent and that no worker has started on, people's first.

    If PostgreSQL's machine fails, it may forget that they were taken; then they are taken again.
    """
    again_at = timezone.now() + timedelta(seconds=INFERENCE_RESEND_PAUSE_S)
    table = Prediction._meta.db_table
    return list(
        Prediction.objects.raw(
            "SET LOCAL synchronous_commit TO off; "  # noqa: S608
            f"UPDATE {table} SET attempts = 1, next_send_at = %s WHERE id IN ("
            f"SELECT id FROM {table} WHERE status = 'pending' AND next_send_at IS NOT NULL "
            "AND attempts = 0 AND sha256 <> '' ORDER BY is_background, id LIMIT %s "
            "FOR UPDATE SKIP LOCKED) AND attempts = 0 RETURNING *",
            [again_at, count],
        )
    )


def _add_work(taken: Sequence[Prediction], in_hand: dict[Future[None], Work], send: Send) -> None:
    """Have the lanes score the photos of these predictions; one that is in hand, only once."""
    by_sha256 = {work.sha256: work for work in in_hand.values()}
    new = []
    for prediction in taken:
        if (work := by_sha256.get(prediction.sha256)) is not None:
            work.predictions.append(prediction)
        else:
            new.append(prediction)
    finished = []
    for work in _works(new, send):
        if work.inference is None:
            in_hand[_lanes().submit(_score, work)] = work
        else:
            finished.append(work)
    if finished:
        _finish(finished, send)


def _works(predictions: Sequence[Prediction], send: Send) -> list[Work]:
    """Return the work on these predictions' photos; refuse them if there is no version.

    Where the version's files cannot be fetched now, there is no work: it is done later.
    """
    if not predictions:
        return []
    version = production_version()
    if version is None:
        _refuse(predictions, PredictionRefused("no_active_model"), send)
        return []
    try:
        score = scorer(version)
    except StorageUnavailable as unavailable:
        _score_later(predictions, unavailable)
        return []
    works: dict[str, Work] = {}
    for prediction in predictions:
        work = works.setdefault(prediction.sha256, Work(prediction.sha256, [], version, score))
        work.predictions.append(prediction)
    for sha256, inference in stored_inferences(sha256s=list(works), version=version).items():
        works[sha256].inference = inference
    return list(works.values())


def _finish_done(in_hand: dict[Future[None], Work], send: Send) -> None:
    """Wait until half of the photos in hand are scored, at least one, and finish those that are."""
    done: set[Future[None]] = set()
    wanted = max(1, len(in_hand) // 2)
    while len(done) < wanted:
        done |= wait(in_hand.keys() - done, return_when=FIRST_COMPLETED).done
    works = []
    for future in done:
        work = in_hand.pop(future)
        if (error := future.exception()) is None:
            works.append(work)
        else:
            logger.error("%s can't be scored", work.predictions, exc_info=error)
    _finish_or_log(works, send)


@functools.cache
def _lanes() -> ThreadPoolExecutor:
    """Return this process's threads for scoring. They use no database."""
    return ThreadPoolExecutor(LANES, thread_name_prefix="lane")


def _score(work: Work) -> None:
    """Read, decode and score a photo. It stays without result if its bytes are gone.

    `Work.unavailable` is set if they cannot be read now.
    """
    first = work.predictions[0]
    SCORING_WAIT_SECONDS.observe(max(0.0, (timezone.now() - first.created_at).total_seconds()))
    with span(
        "score", trace_parent=first.trace_parent, kind="consumer", champipy_request=first.request_id
    ):
        _score_photo(work)


def _score_photo(work: Work) -> None:
    started = time.perf_counter()
    try:
        sent_for, whole = (None, work.data) if work.data else _sent_bytes(work)
        if whole is None:
            return
        data = whole[: picture_length(whole)]
        with _decoding:
            image = decode_photo(data)
            photo = DecodedPhoto.of(data, image, sent_for if len(data) == len(whole) else None)
            pixels = to_input(image, work.version.input_size)
            del image
        answer = work.score(pixels)
    except PhotoError as error:
        work.error = PredictionRefused(error.code, Message(error.text, **error.parameters))
        return
    except StorageUnavailable as unavailable:
        work.unavailable = unavailable
        return
    work.scored = Scored(photo, answer, (time.perf_counter() - started) * 1000)


def _sent_bytes(work: Work) -> tuple[int | None, bytes | None]:
    """Return the bytes with the work's SHA-256, with the prediction that they were sent for.

    Both are None if they are not among those that were sent.

    Two runs of a fetch may get different bytes from one URL, and a row that belongs to the bytes of
    the other run.
    """
    for prediction in work.predictions:
        data = incoming_read(prediction.pk)
        if data is not None and hashlib.sha256(data).hexdigest() == work.sha256:
            return prediction.pk, data
    return None, None


def _finish_or_log(works: Sequence[Work], send: Send) -> None:
    """Do as `_finish` does; what cannot be stored is logged, and sent again by its row."""
    try:
        _finish(works, send)
    except Exception:
        logger.exception("An answer could not be stored")


def _finish(works: Sequence[Work], send: Send) -> None:
    """Store and answer; then the next predictions of these users are sent, if any wait."""
    for work in works:
        results = (work.inference, work.scored, work.error, work.unavailable)
        if all(result is None for result in results):
            _look_elsewhere(work, send)
        if work.unavailable is not None:
            _score_later(work.predictions, work.unavailable)
    works = [work for work in works if work.unavailable is None]
    try:
        with refuse_when_full():
            _answer(works)
    except Exception as error:
        if len(works) > 1:
            logger.warning("Photos could not be stored together; now each by itself: %s", error)
            for work in works:
                _finish_or_log([work], send)
            return
        if isinstance(error, StorageUnavailable):
            _score_later(works[0].predictions, error)
            return
        if not isinstance(error, PredictionRefused):
            raise
        works[0].error = error
        _answer(works)
    _send_next([each for work in works for each in work.predictions], send)


def _send_next(answered: Sequence[Prediction], send: Send) -> None:
    for share in {share_of(prediction) for prediction in answered}:
        waiting_send(share=share, send=send)


def _score_later(predictions: Sequence[Prediction], unavailable: StorageUnavailable) -> None:
    """Have beat send predictions again soon. What the store does counts as no attempt.

    An attempt stays: without any, this worker would take them again at once.
    """
    again_at = timezone.now() + timedelta(seconds=INFERENCE_RESEND_PAUSE_S)
    logger.warning("%s wait in their rows: %s", predictions, unavailable)
    Prediction.objects.filter(
        pk__in=[prediction.pk for prediction in predictions], status=Prediction.Status.PENDING
    ).update(attempts=Greatest(F("attempts") - 1, 1), sends=1, next_send_at=again_at)


def _look_elsewhere(work: Work, send: Send) -> None:
    """Score the photo from the bytes that are stored, or else have URLs fetched again."""
    try:
        work.data = photo_read(sha256=work.sha256)
    except StorageUnavailable as unavailable:
        work.unavailable = unavailable
        return
    if work.data is not None:
        _score(work)
        return
    for prediction in work.predictions:
        if not prediction.is_upload:
            _fetch_again(prediction, send)
    work.predictions = [prediction for prediction in work.predictions if prediction.is_upload]
    work.error = PredictionRefused(
        "prediction_failed", Message("The photo's file is no longer stored. Send it again.")
    )


def _fetch_again(prediction: Prediction, send: Send) -> None:
    logger.warning("%s: its photo's bytes are gone; they are fetched again", prediction)
    incoming_delete(prediction.pk)
    expected = prediction.sha256
    prediction.sha256, prediction.sends = "", 0
    schedule_resend(prediction)
    with transaction.atomic():
        is_pending = Prediction.objects.filter(
            pk=prediction.pk, status=Prediction.Status.PENDING, sha256=expected
        ).update(sha256="", sends=prediction.sends, next_send_at=prediction.next_send_at)
        if is_pending:
            send(prediction)


def _refuse(predictions: Sequence[Prediction], error: PredictionRefused, send: Send) -> None:
    for prediction in predictions:
        prediction_finish(prediction, error=error)
    _send_next(predictions, send)


_pending_to_lock = Prepared(
    lambda ids: (
        Prediction.objects.select_for_update(no_key=True)
        .filter(pk__any_of=ids, status=Prediction.Status.PENDING)
        .order_by("pk")
        .only("pk")
    ),
    ids=list,
)


def _answer(works: Sequence[Work]) -> None:
    """Store photos and inferences with the answers of their predictions, all or nothing.

    Nothing is stored for predictions that were answered or deleted meanwhile.
    """
    predictions = [prediction for work in works for prediction in work.predictions]
    if not predictions:
        return
    with transaction.atomic():
        # Locked before the photos, as where a prediction is deleted with its photo.
        locked = _pending_to_lock.all(ids=[prediction.pk for prediction in predictions])
        pending = {prediction.pk for prediction in locked}
        asked = [work.of(pending) for work in works]
        new = _store([work for work in asked if work.predictions and work.error is None])
        written = []
        for work in asked:
            for prediction in work.predictions:
                request_id.set(prediction.request_id)
                is_reused = work.error is None and prediction.pk not in new
                answer: dict[str, Any] = (
                    {"error": work.error} if work.error else {"inference": work.inference}
                )
                if answer_write(prediction, reused=is_reused, **answer):
                    written.append(prediction)
        request_id.set("")
    answers_announce(predictions, written=written)


def _store(works: Sequence[Work]) -> set[int]:
    """Store photos with their inferences, and set these; return the predictions they were made for.

    Call it in a transaction. An inference that another worker has stored meanwhile is taken.
    """
    scored = [(work, work.scored) for work in works if work.scored is not None]
    known, new = photos_store([(each.photo, work.predictions[0].file) for work, each in scored])
    photo_of = {work.sha256: (known | new)[each.photo.sha256] for work, each in scored}
    for work in works:
        if work.scored is None and work.inference is not None:
            photo_of[work.sha256] = Photo.objects.select_for_update().get(
                pk=work.inference.photo_id
            )
    by_prediction = {
        prediction: photo_of[work.sha256] for work in works for prediction in work.predictions
    }
    photos_announce({prediction.pk: photo for prediction, photo in by_prediction.items()})
    stored = Inference.objects.filter(photo__in=known.values()) if known else []
    made_for = _infer([(work, photo_of[work.sha256], each) for work, each in scored], stored)
    sources_remember(by_prediction)
    return made_for


def _infer(
    scored: Sequence[tuple[Work, Photo, Scored]], inferences: Iterable[Inference]
) -> set[int]:
    """Store inferences, but for those that are stored, and judge their photos for training.

    Return the predictions for which they were made.
    """
    stored = {(each.photo_id, each.model_version_id): each for each in inferences}
    new: list[tuple[Inference, Photo, Prediction]] = []
    for work, photo, each in scored:
        key = (photo.pk, work.version.pk)
        first = min(work.predictions, key=lambda prediction: prediction.is_background)
        if key not in stored:
            stored[key] = inference_of(
                photo=photo,
                version=work.version,
                answer=each.answer,
                duration_ms=each.duration_ms,
                is_background=first.is_background,
            )
            new.append((stored[key], photo, first))
        work.inference = stored[key]
        work.inference.model_version = work.version
    Inference.objects.bulk_create([inference for inference, _, _ in new])
    for inference, photo, first in new:
        if not first.is_background and is_sure(inference):
            photo_keep_for_training(
                photo=photo, species_name=inference.best_species, user=first.user
            )
    return {first.pk for _, _, first in new}
