"""Fills the admin of a stack with rows of every kind, so that tests see its pages with them.

`fill_admin` runs in the tests' process; `fill`, which it has the stack run, in the stack's own.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.drawings import mushroom
from tests.support.stack import Stack

OTHERS = {"Boletus_edulis": range(301, 305), "Xerocomus_rubellus": range(305, 308)}
"""Seeds of the drawings of other species, by the names of their folders."""
FILL = "import json; from tests.support.filled_admin import fill; print(json.dumps(fill()))"


def fill_admin(stack: Stack, folder: Path) -> list[str]:
    """Fill the admin of a stack with two versions, photos and predictions; return paths in it.

    These are pages that `admin_paths` does not know: those of single rows, with filters, of pairs.
    `folder` is an empty one for drawings.
    """
    for name, seeds in OTHERS.items():
        (folder / name).mkdir()
        for seed in seeds:
            (folder / name / f"{seed}.jpg").write_bytes(mushroom(seed))
    for arguments in (
        ("import_photos", str(folder), "--split", "evaluation", "--other", "--allow-resembling"),
        ("evaluate_model", "1"),
        ("evaluate_model", "2"),
    ):
        _done(stack, *arguments)
    paths: list[str] = json.loads(_done(stack, "shell", "--verbosity", "0", "-c", FILL))
    _done(stack, "evaluate_model", "3")
    return paths


def _done(stack: Stack, *arguments: str) -> str:
    done = stack(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().rpartition("\n")[2]


def fill() -> list[str]:
    """Create the rows, in the process of the stack; return the paths of `fill_admin`."""
    from accounts.models import User
    from accounts.services import user_token_create
    from mlmodels.models import ModelVersion
    from mlmodels.services import version_promote, version_rollback
    from predictions.models import Prediction
    from predictions.shadow_services import shadows_score
    from supervision.models import Evaluation
    from tests.support.versions import another_version

    people = {user.username: user for user in User.objects.all()}
    bob = people["bob"]
    shipped, second = ModelVersion.objects.order_by("pk")
    for _ in range(20):
        if not shadows_score(seconds=30):
            break
    version_promote(version=second, by=bob, reason="Surer of <i>Mycena</i>.", gate=_gate)
    version_rollback(leaving=second, by=bob, reason="Slower.", gate=_gate)
    third = another_version(temperature=0.8)
    for _ in range(20):
        if not shadows_score(seconds=30):
            break
    runs = _runs(bob, second, third)
    _alerts(bob, shipped, runs[0])
    photo = _reviews(bob, people["alice"])
    user_token_create(username="clementine", name="the laboratory's script")
    _observations(people["alice"], people["clementine"])
    versions = "/admin/mlmodels/modelversion/"
    run_pages = "/admin/mlmodels/trainingrun/"
    evaluation = f"/admin/supervision/evaluation/{Evaluation.objects.order_by('pk')[0].pk}/"
    failed = Prediction.objects.filter(status="failed").order_by("pk")[0]
    return [
        *(f"{run_pages}{run.pk}/change/" for run in runs),
        f"{run_pages}compare/?a={runs[0].pk}&b={runs[1].pk}",
        f"{run_pages}start/search",
        f"{versions}compare/?a={shipped.pk}&b={second.pk}",
        *(f"{versions}{version.pk}/change/" for version in (shipped, second)),
        *(f"{versions}{version.pk}/shadow/" for version in (second, third)),
        *(f"{versions}{version.pk}/promote/" for version in (second, third)),
        *(f"{evaluation}{page}" for page in ("change/", "change/?rightness=all")),
        *(f"{evaluation}others/?outcome={outcome}" for outcome in ("passed", "all")),
        f"/admin/predictions/photo/{photo.pk}/change/",
        "/admin/predictions/photo/?review=all",
        "/admin/predictions/photo/?doubt=feedback",
        "/admin/predictions/photo/?doubt=audit",
        f"/admin/predictions/prediction/{failed.pk}/change/",
        *(f"/admin/accounts/user/{people[name].pk}/change/" for name in ("alice", "clementine")),
    ]


def _gate(*versions: Any) -> dict[str, Any]:
    check = {"name": "target_reached", "passed": True, "detail": "90.6 % of 32 photos."}
    return {"passed": True, "overridden": False, "checks": [check]}


def _runs(bob: Any, second: Any, third: Any) -> list[Any]:
    """Create a search, a training, a fine-tuning that failed, and one that was cancelled."""
    from django.utils import timezone

    from mlmodels.models import ModelVersion, TrainingRun
    from supervision.datasets.composition import training_composition

    composition = training_composition()
    labels = [row["species"] for row in composition["species"]]
    parts = [[f"{place:064x}", place % len(labels)] for place in range(100)]
    dataset = {"labels": labels, "training": parts[:80], "validation": parts[80:], "others": []}
    now = timezone.now()
    trials = [
        {
            "number": number, "state": "pruned" if number % 3 == 2 else "complete", "epochs": 8,
            "accuracy": 0.8 + number / 100, "nll": 0.9 - 0.03 * number, "seconds": 61.5 + number,
            "parameters": {"variables": 1} if not number else {
                "variables": 2 + 2 * (number % 4), "learning_rate": 0.00001234567 * 2**number,
                "label_smoothing": 0.05 * (number % 3), "mixup": 0.1 * (number % 5),
            },
        }
        for number in range(8)
    ]  # fmt: skip
    history = [
        {
            "epoch": epoch, "loss": None if not epoch else 1.2 / (epoch + 1),
            "accuracy": 0.7 + epoch / 50, "nll": 1.1 - epoch / 20, "seconds": 12.5 * epoch,
        }
        for epoch in range(11)
    ]  # fmt: skip
    done = {
        "requested_by": bob, "started_at": now - timedelta(minutes=14),
        "finished_at": now - timedelta(minutes=2), "attempt": 1, "dataset": dataset,
        "dataset_sha256": "ab" * 32, "composition": composition, "validation_is_new": True,
        "packages": {"tensorflow": "2.21.0", "keras": "3.15.1"},
    }  # fmt: skip
    create = TrainingRun.objects.create
    search = create(
        kind="search", status="succeeded", parameters={"trials": 8, "minutes": 20, "seed": 3},
        trials=trials, history=history, progress={"percent": 100, "stage": "done"},
        note="Tried after the autumn's photos.", tags=["autumn", "wide"], **done,
    )  # fmt: skip
    training = create(
        kind="train", status="succeeded", parameters={"variables": 4, "epochs": 10, "seed": 5},
        history=history, progress={"percent": 100, "stage": "done"}, **done,
    )  # fmt: skip
    failed = create(
        kind="finetune", status="failed", parameters={"variables": 1, "epochs": 3, "seed": 1},
        parent=second, error="The disk is full: 12 MB are free, 900 MB are needed.",
        progress={"percent": 37, "stage": "features"}, **done,
    )  # fmt: skip
    cancelled = create(
        kind="finetune", status="cancelled", parameters={"variables": 2, "epochs": 9, "seed": 1},
        parent=second, requested_by=None, progress={},
    )  # fmt: skip
    ModelVersion.objects.filter(pk=second.pk).update(run=search, tags=["autumn"], note="Quicker.")
    ModelVersion.objects.filter(pk=third.pk).update(run=training, parent=second)
    return [search, training, failed, cancelled]


def _alerts(bob: Any, version: Any, run: Any) -> None:
    """Create an alert of each kind, in all states, and messages that were sent or could not be."""
    from django.utils import timezone

    from supervision.models import Alert, AlertMessage

    now = timezone.now()
    values = {
        "low_accuracy": (62.5, 70.0), "new_photos": (512.0, 500.0),
        "accuracy_check_failed": (3.0, 3.0), "new_photos_check_failed": (3.0, 3.0),
        "predictions_unanswered": (11.25, 10.0), "disk_full_soon": (412.0, 2000.0),
        "better_version": (1.0, 0.0),
    }  # fmt: skip
    for place, (kind, (value, threshold)) in enumerate(values.items()):
        of_model = kind in {"low_accuracy", "new_photos", "better_version"}
        alert = Alert.objects.create(
            kind=kind, value=value, threshold=threshold,
            model_version=version if of_model else None,
            detail="The database was away." if "failed" in kind else "",
            run=run if kind == "new_photos" else None,
        )  # fmt: skip
        for channel in AlertMessage.Channel.values:
            AlertMessage.objects.create(
                alert=alert, channel=channel, attempts=2, next_attempt_at=None, target="ab" * 32,
                sent_at=None if place % 2 else now, error="Nobody listens." if place % 2 else "",
            )  # fmt: skip
        chosen = Alert.objects.filter(pk=alert.pk)
        if place % 3 == 1:
            chosen.update(status="acknowledged", acknowledged_by=bob, acknowledged_at=now)
        elif place % 3 == 2:
            chosen.update(status="resolved", resolved_at=now)


def _reviews(bob: Any, alice: Any) -> Any:
    """Let users give feedback and Bob decide about photos; return one with all of it."""
    from django.utils import timezone

    from mlmodels.models import Species
    from predictions.feedback_services import feedback_give
    from predictions.labels import other_species
    from predictions.models import Photo, Prediction
    from supervision.models import LabelDoubt
    from supervision.review.services import photo_exclude, photo_label, photo_label_other

    answered = Prediction.objects.filter(status="done", user=alice).select_related(
        "inference__photo"
    )
    predictions = list(answered.order_by("pk")[:10])
    species = list(Species.objects.order_by("pk")[:10])
    for place, prediction in enumerate(predictions):
        name = prediction.inference.best_species if place % 2 else "Boletus edulis"
        feedback_give(prediction=prediction, user=alice, name=name, comment="Smells of anise.")
    photos = [prediction.inference.photo for prediction in predictions]
    photo_label(photo=photos[0], species=species[1], by=bob)
    photo_label_other(photo=photos[0], other=other_species("Boletus edulis"), by=bob)
    photo_label(photo=photos[1], species=species[2], by=bob)
    photo_exclude(photo=photos[2], by=bob)
    for place, photo in enumerate(Photo.objects.filter(split="training", label__isnull=False)[:5]):
        assert photo.label is not None
        LabelDoubt.objects.create(
            photo=photo, label=photo.label, doubt=0.9123456 - 0.1 * place, likelier=species[place],
            method="5-fold", audited_at=timezone.now(),
        )  # fmt: skip
    return photos[0]


def _observations(alice: Any, clementine: Any) -> None:
    """Create finds of the queue that are decided, leased or wait, and what people wrote there."""
    from django.utils import timezone

    from mlmodels.models import Species
    from observations.models import MushroomObserverImage, MushroomObserverWrite, Observation
    from tests.support.queue import OUT_OF_SCOPE, queued

    now = timezone.now()
    entries = [
        queued(500_000 + place, verdict=verdict, scope=scope)
        for place, (verdict, scope) in enumerate(
            [("supported", None), ("contradicted", None), ("undecided", OUT_OF_SCOPE)]
        )
    ]
    decided = Observation.objects.filter(queue_entry=entries[0])
    decided.update(
        user=alice, decision="disagree", decision_name="Aleuria aurantia", decided_at=now,
        note="The stem is white.\nSeen from above only.",
    )  # fmt: skip
    entries[1].leased_to, entries[1].leased_until = clementine, now + timedelta(minutes=5)
    entries[1].save()
    entries[2].skipped_by.add(alice)
    contents = {
        "vote": {"naming": 12, "vote": 3}, "naming": {"name": "Aleuria aurantia", "vote": 2},
        "comment": {"summary": "ChampiPy", "content": "None of the ten.\n\nBy ChampiPy."},
    }  # fmt: skip
    states = ("sent", "failed", "unknown")
    for (kind, content), state in zip(contents.items(), states, strict=True):
        MushroomObserverWrite.objects.create(
            user=alice, observation=entries[0].observation, mushroom_observer_id=500_000, kind=kind,
            content=content, seen="ab" * 32, digest=f"{kind:0<64}", state=state, sent_at=now,
            error_code="changed_there" if state == "failed" else "",
            error_detail="The find has changed there." if state == "failed" else "",
            answer={"ids": [7]} if state == "sent" else None, next_step_at=None,
        )  # fmt: skip
    MushroomObserverImage.objects.create(
        image_id=1_400_000, observation_id=500_000, confidence=2.3456789, ok_for_export=True,
        species=Species.objects.order_by("pk")[0], holder="Mossy Beginner",
        licence="https://creativecommons.org/licenses/by-sa/3.0/",
    )  # fmt: skip
