"""Fills a database with rows of every kind in every state, for tests that read all pages.

What people write is in no living language: `WRITTEN`.
"""

import hashlib
from datetime import timedelta
from itertools import count, cycle
from typing import Any
from uuid import uuid4

from django.core.files.base import ContentFile
from django.utils import timezone

from accounts.models import TokenDetails, User
from accounts.services import user_token_create
from common.messages import Message
from mlmodels.ml.preprocessing import decode_photo
from mlmodels.models import ModelVersion, Species, SpeciesName, StageTransition, TrainingRun
from mlmodels.scoring import score_image
from observations.models import (
    MushroomObserverImage,
    MushroomObserverKey,
    MushroomObserverWrite,
    Observation,
    ObservationPhoto,
    ProposedName,
    QueueEntry,
    QueuePoll,
)
from observations.remarks import REMARKS, remark
from observations.write_errors import WRITE_FAILURES
from predictions.errors import FAILURES
from predictions.models import Feedback, Inference, Photo, Prediction, Shadow
from predictions.verdicts import REASONS, VERDICTS
from supervision.datasets.selectors import evaluation_others, evaluation_set
from supervision.datasets.services import evaluation_set_freeze
from supervision.evaluations.promotion import gate_record, promotion_checks
from supervision.evaluations.services import version_evaluate
from supervision.models import Alert, AlertMessage, Check, EvaluationSet, LabelDoubt
from supervision.review.services import photo_exclude, photo_label, photo_label_other
from tests.support.drawings import mushroom
from tests.support.labelled_photos import ten_species
from tests.support.versions import another_version

WRITTEN = "Lorem ipsum"
"""Whatever people wrote, and names of files and of tags."""
TOLD = Message("The photo's server took too long.")
"""Any message of ChampiPy's, where each error has its own."""
EVALUATION_PHOTOS = 12
IN_SCOPE = {"in_scope": True, "score": 97.1}
OUT_OF_SCOPE = {"in_scope": False, "score": 3.25}


def fill_site(users: dict[str, User], production: ModelVersion) -> None:
    """Write rows of every kind, owned by alice and reviewed by bob."""
    alice, bob = users["alice"], users["bob"]
    staged = another_version(temperature=0.5, shift=1)
    photos = _photos(alice, bob)
    _evaluations(production, staged, bob)
    inferences = _inferences(photos, production, staged)
    _predictions(alice, inferences)
    _observations(alice, inferences)
    _queue(alice)
    _writes(alice)
    _runs(bob, production)
    fill_alerts(bob, production)
    _names()
    user_token_create(username="alice", name=WRITTEN)
    token = TokenDetails.objects.get(name=WRITTEN)
    token.last_used_at = timezone.now()
    token.save()


def _photos(alice: User, bob: User) -> list[Photo]:
    """Write photos with every source of labels, reviewed in every way; return them."""
    photos = []
    for species, (number, source) in zip(
        cycle(ten_species()), enumerate([*Photo.LabelSource] * 4), strict=False
    ):
        data = mushroom(number)
        photo = Photo(
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            width=320,
            height=240,
            perceptual_hash=number,
            origin=f"https://example.org/{number}.jpg",
            author=WRITTEN if number % 2 else "",
            licence="https://creativecommons.org/licenses/by-sa/3.0/" if number % 2 else "",
            label=species if source else None,
            label_source=source,
            contributed_by=alice,
        )
        photo.file.save(f"{number}.jpg", ContentFile(data), save=False)
        if source:
            photo.split, photo.split_at = Photo.Split.TRAINING, timezone.now()
        photo.save()
        photos.append(photo)
    aleuria, amanita, *_ = ten_species()
    photo_label(photo=photos[2], species=aleuria, by=bob)
    photo_label(photo=photos[3], species=amanita, by=bob)
    photo_label_other(photo=photos[6], other=_other("Boletus edulis"), by=bob)
    photo_label_other(photo=photos[7], other=_other(""), by=bob)
    photo_exclude(photo=photos[8], by=bob)
    for photo in photos[9:12]:
        LabelDoubt.objects.create(
            photo=photo, label=aleuria, doubt=0.93, likelier=amanita, method="kNN",
            audited_at=timezone.now(),
        )  # fmt: skip
    Photo.objects.filter(pk=photos[12].pk).update(
        is_reserved=True, split="", split_at=None, label_source=Photo.LabelSource.IMPORTED
    )
    return list(Photo.objects.order_by("pk"))


def _other(name: str) -> Any:
    from predictions.labels import other_species

    return other_species(name)


def _evaluations(production: ModelVersion, staged: ModelVersion, bob: User) -> None:
    """Freeze both evaluation sets, evaluate both versions, and write what the gate said."""
    for number in range(EVALUATION_PHOTOS):
        data = mushroom(500 + number)
        scores = score_image(production, decode_photo(data)).scores
        answered = production.labels[scores.index(max(scores))]
        is_other = number % 4 == 3
        photo = Photo(
            sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), width=320, height=240,
            perceptual_hash=500 + number, label_source=Photo.LabelSource.IMPORTED,
            split=Photo.Split.EVALUATION, split_at=timezone.now(), is_other=is_other,
            label=None if is_other else Species.objects.get(name=answered),
            other_name="Russula emetica" if is_other else "",
        )  # fmt: skip
        photo.file.save(f"evaluation-{number}.jpg", ContentFile(data))
    for kind in EvaluationSet.Kind:
        evaluation_set_freeze(by=bob, reason=WRITTEN, kind=kind)
    for version in (production, staged):
        held_out = evaluation_set(version.labels)
        assert held_out is not None
        version_evaluate(version=version, held_out=held_out, others=evaluation_others())
    for is_passed in (True, False):
        first, second = (production, staged) if is_passed else (staged, production)
        checks = promotion_checks(first, second, None)
        StageTransition.objects.create(
            model_version=first,
            from_stage=ModelVersion.Stage.STAGING,
            to_stage=ModelVersion.Stage.PRODUCTION,
            by=bob,
            reason=WRITTEN,
            gate=gate_record(checks, overridden=not is_passed),
        )


def _inferences(
    photos: list[Photo], production: ModelVersion, staged: ModelVersion
) -> list[Inference]:
    """Write what both versions say of the photos, alike and otherwise; return production's."""
    inferences = []
    for number, photo in enumerate(photos):
        for version in (production, staged):
            best = (number + (version == staged) * (number % 3)) % 10
            scores = [1.0 + 90 * (index == best) for index in range(10)]
            inference = Inference.objects.create(
                photo=photo,
                model_version=version,
                scores=scores,
                best_score=max(scores),
                best_species=version.labels[best],
                in_scope=number % 4 != 0,
                scope_score=97.12 if number % 4 else 3.25,
                p_values=[0.5 if index == best else 0.01 for index in range(10)],
                name_scores=scores,
                duration_ms=41.5,
            )
            if version == production:
                inferences.append(inference)
    Shadow.objects.create(model_version=staged)
    return inferences


def _predictions(alice: User, inferences: list[Inference]) -> None:
    """Write predictions in every state, with every reason of failures and of verdicts."""
    now = timezone.now()
    names = cycle(VERDICTS)
    own = {"user": alice, "file": f"{WRITTEN}.jpg", "is_upload": True}
    for code in FAILURES:
        Prediction.objects.create(
            **own, status="failed", error_code=code, error_detail=FAILURES[code].detail
        )
    Prediction.objects.create(**own)
    for reason, inference in zip(REASONS, cycle(inferences), strict=False):
        prediction = Prediction.objects.create(
            **own,
            status="done",
            inference=inference,
            sha256=inference.photo.sha256,
            proposed="Aleuria aurantia",
            proposed_species="Aleuria aurantia",
            verdict={"verdict": next(names), "score": 61.25, "because": because(reason)},
            reused=bool(inference.pk % 2),
            finished_at=now,
        )
        if inference.pk % 3:
            Feedback.objects.create(
                prediction=prediction, user=alice, name="Amanita muscaria", comment=WRITTEN,
                species=Species.objects.get(name="Amanita muscaria"),
            )  # fmt: skip


def because(reason: str) -> dict[str, Any]:
    """Return the reason of a verdict with all the parameters that any reason has."""
    parameters = {
        "species": "Aleuria aurantia", "best": "Amanita muscaria", "model": "VGG16 1", "count": 10,
        "score": 61.25, "limit": 60.0, "supported_from": 96.5, "contradicted_below": 0.5,
    }  # fmt: skip
    return {"code": reason, "parameters": parameters}


def _observations(alice: User, inferences: list[Inference]) -> None:
    """Write observations of every source in every state, with every decision and remark."""
    numbers = count(600_000)
    Status, Decision = Observation.Status, Observation.Decision  # noqa: N806 - classes
    decisions, scopes = cycle(Decision), cycle((IN_SCOPE, OUT_OF_SCOPE, None))
    remarks = [remark(code, count=14, used=12) for code in REMARKS]
    for source in (Observation.Source.OWN, Observation.Source.MUSHROOM_OBSERVER):
        is_there = source == Observation.Source.MUSHROOM_OBSERVER
        for status in (*Status, *[Status.DONE] * 3):
            decision = next(decisions) if status == Status.DONE else Decision.NONE
            is_failed = status == Status.FAILED
            number = next(numbers) if is_there else None
            observation = Observation.objects.create(
                user=alice,
                status=status,
                source=source,
                error_code="image_timeout" if is_failed else "",
                error_detail=TOLD if is_failed else "",
                mushroom_observer_id=number,
                url=f"https://mushroomobserver.org/observations/{number}" if is_there else "",
                settled_name="Amanita muscaria" if is_there else "",
                settled_species="Amanita muscaria" if is_there else "",
                remarks=remarks if is_there else [],
                answer=answer(next(scopes)) if status == Status.DONE else None,
                decision=decision,
                decision_name="Aleuria aurantia" if decision else "",
                decided_at=timezone.now() if decision else None,
                note=WRITTEN,
                read_at=timezone.now() if is_there else None,
            )
            _names_of(observation, is_there=is_there)
            for part in range(2):
                _photo_of(observation, inferences[observation.pk % 20 + part], is_there=is_there)


def answer(scope: dict[str, Any] | None) -> dict[str, Any]:
    """Return what all photos of an observation say together."""
    scores = (("Aleuria aurantia", 80.5), ("Amanita muscaria", 19.25))
    return {
        "predictions": [{"species": name, "score": score} for name, score in scores],
        "scope": scope,
        "plausible": ["Aleuria aurantia", "Amanita muscaria"],
    }


def _names_of(observation: Observation, *, is_there: bool) -> None:
    """Propose a name for every reason of a verdict, and one that nobody has judged."""
    for number, (reason, verdict) in enumerate(zip([*REASONS, ""], cycle(VERDICTS), strict=False)):
        ProposedName.objects.create(
            observation=observation,
            name="Aleuria aurantia",
            species="Aleuria aurantia",
            key="aleuria aurantia",
            verdict=verdict if reason else "",
            score=61.25 if reason else None,
            because=because(reason) if reason else None,
            naming_id=number if is_there else None,
            confidence=1.5 if is_there else None,
            votes=[2.0, 1.0] if is_there and number % 2 else [],
            is_consensus=is_there and not number,
        )


def _photo_of(observation: Observation, inference: Inference, *, is_there: bool) -> None:
    answered = observation.status == Observation.Status.DONE
    prediction = Prediction.objects.create(
        user=observation.user,
        file=f"{WRITTEN}.jpg",
        is_upload=True,
        status="done" if answered else "failed",
        inference=inference if answered else None,
        error_code="" if answered else "image_truncated",
        error_detail="" if answered else FAILURES["image_truncated"].detail,
        finished_at=timezone.now(),
    )
    ObservationPhoto.objects.create(
        observation=observation,
        prediction=prediction,
        image_id=1000 + prediction.pk if is_there else None,
        holder=WRITTEN,
        year=2020,
        licence="CC BY-SA 3.0",
        is_usable=not is_there,
    )


def _queue(alice: User) -> None:
    """Write finds of the queue of every urgency and state, and how its last poll went."""
    now = timezone.now()
    states = ("waits", "held", "decided", "pending", "failed", "to_read", "unseen")
    for number, (state, verdict) in enumerate(zip([*states, *["waits"] * 4], cycle(VERDICTS))):
        observation = None
        if state != "unseen":
            is_done = state not in ("pending", "failed")
            decision = "disagree" if state == "decided" else ""
            observation = Observation.objects.create(
                status={"pending": "pending", "failed": "failed"}.get(state, "done"),
                error_code="image_timeout" if state == "failed" else "",
                error_detail=TOLD if state == "failed" else "",
                source="queue",
                user=alice if decision else None,
                mushroom_observer_id=700_000 + number,
                url=f"https://mushroomobserver.org/observations/{700_000 + number}",
                answer=answer(OUT_OF_SCOPE if number % 4 else IN_SCOPE) if is_done else None,
                decision=decision,
                decided_at=now if decision else None,
                remarks=[remark(code, count=14, used=12) for code in REMARKS],
            )
            ProposedName.objects.create(
                observation=observation, name="Aleuria aurantia", key="aleuria aurantia",
                verdict=verdict, score=50.5, because=because("neither"), naming_id=number,
                confidence=1.5, votes=[2.0],
            )  # fmt: skip
        QueueEntry.objects.create(
            mushroom_observer_id=700_000 + number,
            observation=observation,
            is_to_read=state == "to_read",
            leased_to=alice if state == "held" else None,
            leased_until=now + timedelta(days=1) if state == "held" else None,
            read_at=now,
        )
    QueuePoll.objects.create(pk=1, begun_at=now, finished_at=now, result=TOLD, error=TOLD)


def _writes(alice: User) -> None:
    """Write what was written at Mushroom Observer, of every kind in every state."""
    observation = Observation.objects.filter(source="mushroom_observer", status="done").first()
    assert observation is not None
    assert observation.mushroom_observer_id is not None
    kinds, digests, codes = cycle(MushroomObserverWrite.Kind), count(), cycle(WRITE_FAILURES)
    for state in [*MushroomObserverWrite.State, *["failed"] * len(WRITE_FAILURES)]:
        code = next(codes) if state == "failed" else ""
        MushroomObserverWrite.objects.create(
            user=alice,
            observation=observation,
            mushroom_observer_id=observation.mushroom_observer_id,
            kind=next(kinds),
            content={"name": "Aleuria aurantia", "value": 3},
            seen="",
            digest=str(next(digests)),
            state=state,
            error_code=code,
            error_detail=WRITE_FAILURES[code].detail if code else "",
            next_step_at=None,
            sent_at=timezone.now(),
        )
    MushroomObserverKey.objects.create(
        user=alice, ciphertext="x", ends_with="wxyz", status="unchecked", detail=TOLD
    )
    MushroomObserverImage.objects.create(
        image_id=1, observation_id=1, confidence=2.5, holder=WRITTEN, ok_for_export=True,
        species=Species.objects.first(), licence="https://creativecommons.org/publicdomain/zero/1.0/",
    )  # fmt: skip


def _runs(bob: User, production: ModelVersion) -> None:
    """Write runs of every kind in every state, with what each step has told."""
    now = timezone.now()
    history = [
        {"epoch": epoch, "loss": loss, "accuracy": 0.8125, "nll": 0.62, "seconds": 40.0}
        for epoch, loss in enumerate((None, 1.234, 0.957))
    ]
    trials = [
        {
            "number": number, "nll": 0.9 - number / 20, "accuracy": 0.8, "epochs": 3,
            "state": "pruned" if number == 3 else "complete", "seconds": 9.5,
            "parameters": {"views": number % 2 + 1, "learning_rate": 0.0001 * (number + 1),
                           "weight_decay": 0.05, "label_smoothing": 0.1 * (number % 3),
                           "mixup": 0.4, "dropout": 0.1 * number, "variables": number % 4 + 1},
        }
        for number in range(7)
    ]  # fmt: skip
    dataset = {
        "labels": production.labels,
        "training": [["a" * 64, 0], ["b" * 64, 1]],
        "validation": [["d" * 64, 1]],
        "others": [["e" * 64, "1", "Boletus edulis"]],
    }
    sources = {"imported": 2, "confirmed": 3, "corrected": 4, "settled": 5, "predicted": 6}
    composition = {
        "photos": 20, **sources, "others": 7,
        "species": [{"species": "Aleuria aurantia", "photos": 20, **sources}],
    }  # fmt: skip
    stages = cycle(("head", "layers", "search"))
    for status in TrainingRun.Status:
        for kind in TrainingRun.Kind:
            is_search = kind == TrainingRun.Kind.SEARCH
            if status == "running" and not is_search:
                continue  # only one may run
            TrainingRun.objects.create(
                kind=kind,
                status=status,
                parameters={"trials": 5, "minutes": 10, "seed": 0}
                if is_search
                else {"variables": 4, "epochs": 10, "seed": 0},
                parent=production if kind == TrainingRun.Kind.FINETUNE else None,
                requested_by=None if kind == TrainingRun.Kind.TRAIN else bob,
                dataset=None if status == "queued" else dataset,
                dataset_sha256="" if status == "queued" else "f" * 64,
                composition=None if status == "queued" else composition,
                validation_is_new=kind != TrainingRun.Kind.FINETUNE,
                packages={"numpy": "2.4.6"},
                progress={"percent": 41.6, "stage": next(stages), "epoch": 2, "epochs": 10,
                          "trial": 2, "trials": 7, "eta_s": 431},
                history=[] if status == "queued" else history[: 1 if is_search else 3],
                trials=trials if is_search and status != "queued" else [],
                error=TOLD if status == "failed" else "",
                attempt=2,
                lost_workers=1 if is_search else 0,
                started_at=None if status == "queued" else now - timedelta(minutes=9),
                heartbeat_at=now,
                finished_at=now if status not in ("queued", "running") else None,
                note=WRITTEN,
                tags=[WRITTEN.lower()],
            )  # fmt: skip
    run = TrainingRun.objects.filter(kind="train", status="succeeded").get()
    ModelVersion.objects.filter(pk=production.pk).update(run=run, note=WRITTEN)


def fill_alerts(bob: User, production: ModelVersion) -> None:
    """Write an alert of every kind, in every state, told by both channels, and both checks."""
    now = timezone.now()
    statuses = cycle(Alert.Status)
    for kind in Alert.Kind:
        status = next(statuses)
        alert = Alert.objects.create(
            kind=kind,
            status=status,
            model_version=production,
            value=65.5,
            threshold=70,
            detail=TOLD,
            acknowledged_by=bob if status == "acknowledged" else None,
            acknowledged_at=now if status == "acknowledged" else None,
            resolved_at=now if status == "resolved" else None,
        )
        for channel in AlertMessage.Channel:
            AlertMessage.objects.create(alert=alert, channel=channel, error=TOLD, attempts=2)
    Check.objects.create(kind="accuracy", begun_at=now, finished_at=now, result=TOLD)
    Check.objects.create(kind="new_photos", begun_at=now, finished_at=now, error=TOLD)


def _names() -> None:
    species = ten_species()[0]
    for number, kind in enumerate(SpeciesName.Kind):
        SpeciesName.objects.get_or_create(
            species=species,
            kind=kind,
            defaults={"name": f"Peziza alia{number}", "key": str(uuid4())},
        )
    Species.objects.filter(pk=species.pk).update(look_alikes=WRITTEN)
