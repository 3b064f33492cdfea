"""The comparison of two versions, the gate, promotion and rollback."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery.signals import before_task_publish
from django.core.files.base import ContentFile

from mlmodels.ml.artifact import Artifact, read_artifact
from mlmodels.ml.preprocessing import decode_photo
from mlmodels.models import ModelVersion, StageTransition
from mlmodels.scoring import score_image
from mlmodels.selectors import production_version
from mlmodels.services import version_promote
from predictions.models import Prediction
from predictions.scoring_services import prediction_infer
from predictions.services import prediction_create
from predictions.tasks import load_production_engine
from supervision.datasets.selectors import evaluation_set, evaluation_set_sha256
from supervision.evaluations.comparison import (
    WHO_IS_RIGHT,
    PairedComparison,
    compare_answers,
    disagreements,
)
from supervision.evaluations.on_demand import evaluation_run, evaluations_request
from supervision.evaluations.promotion import (
    PromotionRefused,
    promotion_request,
    rollback_request,
    version_checks,
)
from supervision.evaluations.selectors import version_figures
from supervision.evaluations.services import version_evaluate
from supervision.models import Evaluation
from tests.support.files import files_of
from tests.support.photos import drawn_photo
from tests.support.rows import evaluation_with
from tests.support.versions import another_version


def evaluate(version: ModelVersion) -> Evaluation:
    held_out = evaluation_set(version.labels)
    assert held_out is not None
    return version_evaluate(version=version, held_out=held_out)


def history() -> list[tuple]:
    return list(StageTransition.objects.values_list("model_version", "to_stage", "reason"))


def checks_of(transition: StageTransition) -> dict[str, bool]:
    return {check["name"]: check["passed"] for check in transition.gate["checks"]}


@pytest.mark.parametrize(
    ("only_candidate", "only_current", "p_value", "is_worse"),
    [
        (0, 0, 1.0, False),
        (0, 5, 0.0625, False),  # 2 / 2^5: chance may explain this
        (0, 6, 0.03125, True),
        (6, 0, 0.03125, False),  # better is not worse
        (3, 12, 0.03515625, True),  # 2 (1 + 15 + 105 + 455) / 2^15
        (7, 9, 0.803619384765625, False),
    ],
)
def test_mcnemar_separates_worse_from_unlucky(
    only_candidate: int, only_current: int, p_value: float, is_worse: bool
) -> None:
    paired = PairedComparison(100, only_candidate, only_current, 10, 4)
    assert paired.p_value == pytest.approx(p_value)
    assert paired.is_worse is is_worse
    assert paired.n == 110 + only_candidate + only_current


@pytest.mark.django_db
def test_answers_are_compared_by_species_whatever_the_order_of_the_labels(production) -> None:
    other = another_version(temperature=0.5, shift=1)
    first, second, third = production.labels[:3]
    candidate = evaluation_with(
        other,
        ("a", first, first, 90.0),
        ("b", second, third, 80.0),
        ("c", third, third, 70.0),
        ("d", first, second, 60.0),
        ("e", first, second, 60.0),
        ("only in this one", first, first, 50.0),
    )
    current = evaluation_with(
        production,
        ("a", first, first, 60.0),
        ("b", second, second, 65.0),
        ("c", third, first, 99.0),
        ("d", first, third, 20.0),
        ("e", first, second, 20.0),
    )
    paired = compare_answers(candidate, current)
    assert paired == PairedComparison(
        both_right=1, only_candidate=1, only_current=1, both_wrong=2, both_wrong_differently=1
    )
    assert paired.n_disagreements == 3
    rows = disagreements(candidate, current, limit=10)
    assert [(row.sha256, row.species, row.candidate, row.current) for row in rows] == [
        ("c", third, (third, 70.0), (first, 99.0)),
        ("b", second, (third, 80.0), (second, 65.0)),
        ("d", first, (second, 60.0), (third, 20.0)),
    ]
    assert [row.who_is_right for row in rows] == list(WHO_IS_RIGHT)
    assert disagreements(candidate, current, limit=1, offset=1) == rows[1:2]
    for row, right in zip(rows, WHO_IS_RIGHT, strict=True):
        assert disagreements(candidate, current, right=right, limit=10) == [row]


@pytest.mark.django_db
def test_an_evaluation_keeps_every_answer_and_the_speed(production, evaluation_photos) -> None:
    evaluation = evaluate(production)
    answers = list(evaluation.answers.all())
    assert {answer.sha256 for answer in answers} == {photo.sha256 for photo in evaluation_photos}
    assert all(answer.is_right == (answer.species == answer.answered) for answer in answers)
    right = sum(answer.is_right for answer in answers)
    assert right == evaluation.metrics["correct"] == len(evaluation_photos)
    for number, each in enumerate(evaluation.metrics["reliability"]):
        inside = [answer for answer in answers if answer.score_bin == number]
        assert (len(inside), sum(answer.is_right for answer in inside) / len(inside)) == (
            each["n"],
            each["accuracy"],
        )
        mean = sum(answer.score for answer in inside) / len(inside)
        assert mean == pytest.approx(100 * each["confidence"], abs=0.01)
    scores = [answer.score for answer in answers]
    assert sum(scores) / len(evaluation_photos) == pytest.approx(
        100 * evaluation.metrics["mean_score"], abs=0.01
    )
    assert (evaluation.ms_per_photo or 0) > 0
    assert evaluation_set_sha256(production.labels) == (
        evaluation.evaluation_set,
        len(evaluation_photos),
    )


@pytest.mark.django_db
def test_a_worker_evaluates_missing_versions_and_none_twice(production, evaluation_photos) -> None:
    evaluation_run(version_id=production.pk)
    first = Evaluation.objects.get()
    assert evaluations_request(versions=[production]) is None
    evaluation_run(version_id=production.pk)
    assert Evaluation.objects.get() == first
    evaluation_photos[0].file.storage.delete(evaluation_photos[0].file.name)
    other = another_version(temperature=0.5)
    with pytest.raises(FileNotFoundError):
        evaluation_run(version_id=other.pk)
    progress = evaluations_request(versions=[other, production])
    assert (progress.done, progress.total) == (len(evaluation_photos), 2 * len(evaluation_photos))
    assert f"The evaluation of {other} failed" in progress.error


@pytest.mark.django_db
def test_a_good_version_passes_and_the_history_has_the_numbers(
    production, evaluation_photos, users
) -> None:
    successor = another_version(temperature=0.5)
    for version in (production, successor):
        evaluate(version)
    promotion_request(version=successor, by=users["bob"], reason="sharper", override=False)
    assert production_version() == successor
    transition = StageTransition.objects.first()
    assert (transition.reason, transition.by) == ("sharper", users["bob"])
    assert (transition.gate["passed"], transition.gate["overridden"]) == (True, False)
    assert checks_of(transition) == {
        "target_reached": True,
        "not_worse": True,
        "scope": True,
        "files_intact": True,
        "smoke_prediction": True,
        "speed": True,
    }
    details = " ".join(check["detail"] for check in transition.gate["checks"])
    assert "100.0 % of 8 evaluation photos, measured here" in details
    assert "Of 8 photos, 0 are named correctly only by VGG16 2, 0 only by VGG16 1" in details
    promotion_request(version=successor, by=users["bob"], reason="again", override=False)
    assert StageTransition.objects.first() == transition, (
        "it is in production already: nothing changes"
    )


@pytest.mark.django_db
def test_a_switch_loads_the_new_engine_before_the_next_prediction(
    production, evaluation_photos, users, django_capture_on_commit_callbacks
) -> None:
    published = []

    def record(sender: str, routing_key: str, **_: object) -> None:
        published.append((sender, routing_key))

    successor = another_version(temperature=0.5)
    for version in (production, successor):
        evaluate(version)
    before_task_publish.connect(record)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            promotion_request(version=successor, by=users["bob"], reason="sharper", override=False)
        with django_capture_on_commit_callbacks(execute=True):
            rollback_request(leaving=successor, by=users["bob"])
    finally:
        before_task_publish.disconnect(record)
    assert published == 2 * [("predictions.tasks.load_production_engine", "inference")]

    promotion_request(version=successor, by=users["bob"], reason="again", override=False)
    load_production_engine()
    (files_of(successor) / "engine.tflite").unlink()  # the engine is in memory
    assert score_image(successor, decode_photo(drawn_photo(1)))


@pytest.mark.django_db
def test_a_worse_version_needs_an_override_which_is_recorded(
    production, evaluation_photos, users
) -> None:
    worse = another_version(temperature=0.5, shift=1)
    for version in (production, worse):
        evaluate(version)
    before = history()
    with pytest.raises(PromotionRefused) as refused:
        promotion_request(version=worse, by=users["bob"], reason="try", override=False)
    assert refused.value.code == "gate_failed"
    for part in ("target reached: 0.0 % of 8", "not worse", "8 only by VGG16 1", "p = 0.008"):
        assert part in refused.value.detail
    assert "files_intact" not in refused.value.detail, "only what failed"
    assert (production_version(), history()) == (production, before)
    promotion_request(version=worse, by=users["bob"], reason="for a demonstration", override=True)
    assert production_version() == worse
    gate = StageTransition.objects.first().gate
    assert (gate["passed"], gate["overridden"]) == (False, True)


@pytest.mark.django_db
def test_damaged_files_cannot_be_overridden(production, evaluation_photos, users) -> None:
    damaged = another_version(temperature=0.5)
    for version in (production, damaged):
        evaluate(version)
    (files_of(damaged) / "engine.tflite").unlink()
    before = history()
    with pytest.raises(PromotionRefused, match=r"files intact.*cannot be overridden") as refused:
        promotion_request(version=damaged, by=users["bob"], reason="please", override=True)
    assert refused.value.code == "gate_failed"
    assert (production_version(), history()) == (production, before)


@pytest.mark.django_db
def test_a_smoke_prediction_notices_too_few_labels(production) -> None:
    assert [(check.name, check.passed) for check in version_checks(production)] == [
        ("files_intact", True),
        ("smoke_prediction", True),
    ]
    production.labels = production.labels[:-1]
    smoke = version_checks(production)[1]
    assert (smoke.passed, smoke.detail) == (False, "It gave 10 scores for 9 species.")


@pytest.mark.django_db
def test_without_evaluation_photos_the_gate_uses_the_cards(production, users) -> None:
    successor = another_version(temperature=0.5)
    assert version_figures(successor).source == "by its card"
    promotion_request(version=successor, by=users["bob"], reason="first", override=False)
    details = [check["detail"] for check in StageTransition.objects.first().gate["checks"]]
    card = production.metrics["evaluation"]
    accuracy = f"{100 * card['accuracy']:.1f} % of {card['n']} evaluation photos, by its card"
    assert accuracy in details[0]
    assert f"By their cards, on the same photos: {100 * card['accuracy']:.1f} %" in details[1]


@pytest.mark.django_db
def test_versions_measured_on_other_photos_cannot_be_compared(production, users) -> None:
    stranger = another_version(temperature=0.5)
    stranger.metrics["evaluation"]["evaluation_set"] = "0" * 64
    stranger.save()
    with pytest.raises(PromotionRefused, match=r"not worse: .* not measured on the same photos"):
        promotion_request(version=stranger, by=users["bob"], reason="first", override=False)
    unmeasured = another_version(temperature=0.4)
    unmeasured.metrics = {}
    unmeasured.save()
    with pytest.raises(PromotionRefused, match=r"target reached: .* was never measured"):
        promotion_request(version=unmeasured, by=users["bob"], reason="first", override=False)
    assert production_version() == production


@pytest.mark.django_db
def test_the_gate_compares_with_the_version_that_is_really_replaced(production, users) -> None:
    """After another promotion, the gate compares with the version that is in production then."""
    second, third = another_version(temperature=0.5), another_version(temperature=0.4)
    asked = []

    def gate(candidate: ModelVersion, current: ModelVersion | None) -> dict:
        asked.append((candidate, current))
        return {}

    version_promote(version=second, by=None, reason="quicker")
    version_promote(version=third, by=users["bob"], reason="then", gate=gate)
    assert asked == [(third, second)]


@pytest.mark.django_db
def test_rollbacks_go_further_back_and_never_to_a_version_rolled_back(production, users) -> None:
    versions = [
        production,
        another_version(temperature=0.5),
        another_version(temperature=0.4),
    ]
    for version in versions[1:]:
        version_promote(version=version, by=None, reason="next")
    bob = users["bob"]
    rollback_request(leaving=versions[2], by=bob)
    assert production_version() == versions[1]
    newest = StageTransition.objects.first()
    assert (newest.reason, newest.gate["rollback"]) == (f"Rollback of {versions[2]}", True)
    assert checks_of(newest) == {"files_intact": True, "smoke_prediction": True}
    rollback_request(leaving=versions[2], by=bob)
    assert production_version() == versions[1], "the button was clicked twice"
    rollback_request(leaving=versions[1], by=bob, reason="worse still")
    assert production_version() == production
    before = history()
    with pytest.raises(PromotionRefused) as refused:
        rollback_request(leaving=production, by=bob)
    assert refused.value.code == "nothing_to_roll_back_to"
    assert (production_version(), history()) == (production, before)
    version_promote(version=versions[2], by=None, reason="after all")
    rollback_request(leaving=versions[2], by=bob)
    assert production_version() == production


@pytest.mark.django_db
def test_a_rollback_to_damaged_files_is_refused(production, users) -> None:
    successor = another_version(temperature=0.5)
    version_promote(version=successor, by=None, reason="next")
    (files_of(production) / "engine.tflite").unlink()
    before = history()
    with pytest.raises(PromotionRefused, match=r"VGG16 1 was not put back\. files intact"):
        rollback_request(leaving=successor, by=users["bob"])
    assert (production_version(), history()) == (successor, before)


@pytest.mark.django_db
def test_a_switch_reads_the_files_of_each_version_once(production, users, monkeypatch) -> None:
    successor = another_version(temperature=0.5)
    read: list[Path] = []

    def reads(folder: Path) -> Artifact:
        read.append(folder)
        return read_artifact(folder)

    monkeypatch.setattr("mlmodels.selectors.read_artifact", reads)
    promotion_request(version=successor, by=users["bob"], reason="next", override=False)
    assert read == [files_of(successor), files_of(production)]
    rollback_request(leaving=successor, by=users["bob"])
    assert read == [files_of(successor), files_of(production), files_of(production)]


@pytest.fixture
def known_versions(production) -> Iterator[list[ModelVersion]]:
    yield [production, *(another_version(temperature=value) for value in (0.4, 1.5))]


@pytest.mark.django_db(transaction=True)
def test_a_prediction_requested_before_a_switch_is_answered_by_one_version(known_versions) -> None:
    first, second, _ = known_versions
    data = drawn_photo(720)
    prediction = prediction_create(
        user=None,
        file=ContentFile(data, name="a.jpg"),
        nb_preds=1,
        version=first,
        send=lambda prediction: None,
    )
    version_promote(version=second, by=None, reason="meanwhile")
    prediction_infer(prediction_id=prediction.pk)
    inference = Prediction.objects.get().inference
    assert inference.model_version == second
    assert inference.scores == score_image(second, decode_photo(data)).scores
    assert inference.scores != score_image(first, decode_photo(data)).scores
