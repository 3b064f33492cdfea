"""Evaluations by a worker: requested once, one at a time, in spite of a lost lock or Valkey."""

from collections.abc import Callable, Iterator

import pytest
from celery import current_app

from common.valkey import valkey_client
from mlmodels.models import ModelVersion
from predictions.models import Photo
from supervision.evaluations import on_demand
from supervision.evaluations.on_demand import LOCK_KEY, evaluation_run, evaluations_request
from supervision.models import Evaluation
from tests.support.versions import another_version

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_keys() -> Iterator[None]:
    """Delete the keys that evaluations leave in Valkey, before and after."""
    for moment in ("before", "after"):
        for key in valkey_client().scan_iter(f"{LOCK_KEY}*"):
            valkey_client().delete(key)
        if moment == "before":
            yield


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the ids of the versions whose evaluation is sent to a worker; none receives them."""
    versions: list[int] = []

    def send(name: str, arguments: tuple[int], **_: object) -> None:
        assert name == on_demand.EVALUATE_TASK
        versions.extend(arguments)

    monkeypatch.setattr(current_app, "send_task", send)
    return versions


def at_photo(
    monkeypatch: pytest.MonkeyPatch, number: int, interrupt: Callable[[], object]
) -> list[int]:
    """Have `interrupt` called before the photo with this number counts; return the counted ones."""
    counted: list[int] = []
    evaluate = on_demand.version_evaluate

    def evaluate_interrupted(*, on_photo: Callable[[], object], **arguments: object) -> Evaluation:
        def count() -> None:
            counted.append(len(counted) + 1)
            if counted[-1] == number:
                interrupt()
            on_photo()

        return evaluate(on_photo=count, **arguments)

    monkeypatch.setattr(on_demand, "version_evaluate", evaluate_interrupted)
    return counted


def test_polling_sends_one_task_for_a_version(
    production: ModelVersion, evaluation_photos: list[Photo], sent: list[int]
) -> None:
    successor = another_version(temperature=0.5)
    for _ in range(3):
        progress = evaluations_request(versions=[successor, production])
        assert progress is not None
        assert (progress.done, progress.total, progress.error) == (0, 16, "")
    assert sent == [successor.pk]
    evaluation_run(version_id=successor.pk)
    for _ in range(3):
        progress = evaluations_request(versions=[successor, production])
        assert progress is not None
        assert (progress.done, progress.total) == (8, 16)
    assert sent == [successor.pk, production.pk]
    evaluation_run(version_id=production.pk)
    assert evaluations_request(versions=[successor, production]) is None


def test_a_task_that_comes_too_late_does_not_build_the_set(
    production: ModelVersion, evaluation_photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation_run(version_id=production.pk)
    built: list[object] = []
    monkeypatch.setattr(on_demand, "evaluation_set", built.append)
    evaluation_run(version_id=production.pk)
    assert built == []
    assert Evaluation.objects.count() == 1


def test_a_version_that_found_another_at_work_is_sent_again(
    production: ModelVersion, evaluation_photos: list[Photo], sent: list[int]
) -> None:
    evaluations_request(versions=[production])
    lock = valkey_client().lock(LOCK_KEY, timeout=30)
    assert lock.acquire(blocking=False)
    evaluation_run(version_id=production.pk)
    assert Evaluation.objects.count() == 0
    evaluations_request(versions=[production])
    assert sent == [production.pk], "the other one is still at work"
    lock.release()
    evaluations_request(versions=[production])
    assert sent == [production.pk, production.pk]


def test_a_worker_that_lost_its_lock_leaves_its_successor_alone(
    production: ModelVersion, evaluation_photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    valkey = valkey_client()
    successors = valkey.lock(LOCK_KEY, timeout=30)
    progress_key, request_key = (
        f"{LOCK_KEY}:{key}:{production.pk}" for key in ("progress", "request")
    )

    def take_over() -> None:
        valkey.delete(LOCK_KEY)  # it has expired
        assert successors.acquire(blocking=False)
        valkey.set(progress_key, 3, ex=30)
        valkey.set(request_key, 1, ex=30)

    counted = at_photo(monkeypatch, 5, take_over)
    evaluation_run(version_id=production.pk)
    assert len(counted) == 8, "it goes on: its result is as good as the successor's"
    assert Evaluation.objects.get().model_version == production
    assert successors.owned()
    assert (valkey.get(progress_key), valkey.get(request_key)) == ("3", "1")


@pytest.mark.django_db(transaction=True)
def test_an_evaluation_goes_on_while_valkey_is_away(
    production: ModelVersion, evaluation_photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Valkey answers nobody for longer than its clients wait."""
    paused_ms = 5000
    counted = at_photo(
        monkeypatch, 3, lambda: valkey_client().execute_command("CLIENT", "PAUSE", paused_ms)
    )
    evaluation_run(version_id=production.pk)
    assert len(counted) == 8
    evaluation = Evaluation.objects.get()
    assert (evaluation.n, evaluation.answers.count()) == (8, 8)
