"""The gate's checks of scope and speed."""

import time

import pytest

from mlmodels.models import ModelVersion, StageTransition
from mlmodels.selectors import production_version, version_artifact
from supervision.evaluations.comparison import compare_scopes
from supervision.evaluations.gate_checks import (
    MAX_ROUNDS,
    TIMED_PAIRS,
    PairedTimes,
    judge_speed,
    scope_check,
    speed_check,
    time_in_turn,
)
from supervision.evaluations.promotion import PromotionRefused, promotion_request
from supervision.models import Evaluation
from tests.support.calibrations import calibrate_version, uncalibrate_version
from tests.support.files import files_of
from tests.support.rows import evaluation_with, version_row
from tests.support.versions import another_version

pytestmark = pytest.mark.django_db


def with_auroc(version: ModelVersion, value: float, low: float, high: float) -> ModelVersion:
    version.metrics["out_of_fold"]["scope"]["auroc"] |= {"value": value, "ci95": [low, high]}
    return version


@pytest.mark.parametrize("forget", [calibrate_version, uncalibrate_version])
def test_a_version_that_lost_scope_is_promoted_only_by_an_override(
    production, users, forget
) -> None:
    forgetful = another_version(temperature=0.5)
    forget(forgetful)
    with pytest.raises(PromotionRefused, match=r"scope: Scope was lost: VGG16 1 .*`override`"):
        promotion_request(version=forgetful, by=users["bob"], reason="try", override=False)
    assert production_version() == production
    promotion_request(version=forgetful, by=users["bob"], reason="so be it", override=True)
    assert production_version() == forgetful
    assert StageTransition.objects.first().gate["overridden"] is True
    learnt = scope_check(production, forgetful)
    assert learnt.passed
    assert learnt.detail == "VGG16 2 learnt nothing of other species, VGG16 1 did."
    assert scope_check(forgetful, forgetful).passed, "nothing is lost"


def test_scope_is_worse_only_when_its_interval_stays_below(production) -> None:
    with_auroc(production, 0.95, 0.93, 0.97)
    other = another_version(temperature=0.5)
    unlucky = scope_check(with_auroc(other, 0.93, 0.90, 0.95), production)
    assert unlucky.passed
    worse = scope_check(with_auroc(other, 0.92, 0.90, 0.949), production)
    assert (worse.name, worse.passed, worse.can_be_overridden) == ("scope", False, True)
    assert "0.920 (95 % interval 0.900 to 0.949), against 0.950 of VGG16 1" in worse.detail
    other.metrics = {}
    unmeasured = scope_check(other, production)
    assert unmeasured.passed
    assert "the card of VGG16 2 has no AUROC" in unmeasured.detail


def measured(scopes: dict[str, float], known: int = 30) -> Evaluation:
    """Return an evaluation with these scopes, of which the first ones are of the species."""
    version = ModelVersion.objects.first() or version_row()
    species = version.labels[0]
    answers = [(name, species, species, 90.0) for name in list(scopes)[:known]]
    return evaluation_with(version, *answers, scopes=scopes)


def test_scope_is_also_compared_on_the_photos_that_both_were_measured_on(production) -> None:
    with_auroc(production, 0.95, 0.93, 0.97)
    other = with_auroc(another_version(temperature=0.5), 0.95, 0.93, 0.97)
    names = [f"{number:02}" for number in range(60)]
    well = {name: 90.0 if place < 30 else 10.0 for place, name in enumerate(names)}
    badly = well | dict.fromkeys(names[30:40], 95.0)
    paired = compare_scopes(measured(badly), measured(well))
    assert paired is not None
    assert (paired.n_positive, paired.n_negative, paired.second) == (30, 30, 1)
    assert paired.first == pytest.approx(2 / 3)
    worse = scope_check(other, production, paired)
    assert not worse.passed
    assert "by their cards, out of fold. Measured here, on the same 30 photos" in worse.detail
    assert "0.667, against 1.000" in worse.detail
    assert scope_check(other, production, compare_scopes(measured(well), measured(badly))).passed
    one_less = compare_scopes(measured(well | {names[30]: 95.0}), measured(well))
    assert scope_check(other, production, one_less).passed, "chance explains one photo"


@pytest.mark.django_db
def test_few_photos_do_not_compare_scope() -> None:
    names = {f"{number:02}": 50.0 for number in range(60)}
    assert compare_scopes(measured(names), measured(names)) is not None
    fewer = dict(list(names.items())[:49])
    assert compare_scopes(measured(names), measured(fewer)) is None
    assert compare_scopes(measured(names, known=19), measured(names)) is None
    assert compare_scopes(measured(names), measured({})) is None


def test_a_version_whose_layers_were_trained_without_others_says_why_scope_was_lost(
    production,
) -> None:
    forgetful = another_version(temperature=0.5)
    calibrate_version(forgetful)
    forgetful.card["recipe"]["variables"] = 4
    detail = scope_check(forgetful, production).detail
    assert "did not. It tells other species by its best score alone: if more than" in detail


def test_a_first_version_has_nothing_to_be_compared_with(production) -> None:
    assert scope_check(production, None).passed


def compute(seconds: float) -> None:
    """Use the processor for that long."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_engines_take_turns_and_a_slow_one_fails(production) -> None:
    calls: list[str] = []

    def slow() -> None:
        calls.append("slow")
        compute(0.006)

    def quick() -> None:
        calls.append("quick")
        time.sleep(0.01)  # waiting does not count
        compute(0.002)

    times = time_in_turn(slow, quick)
    assert calls == ["slow", "quick"] * (1 + MAX_ROUNDS * TIMED_PAIRS)
    other = another_version(temperature=0.5)
    other.metrics["engine"]["precision"] = "float16"
    check = judge_speed(other, production, times)
    assert (check.name, check.passed, check.can_be_overridden) == ("speed", False, True)
    assert judge_speed(other, production, time_in_turn(quick, slow)).passed


def test_the_quickest_times_judge_speed_on_a_busy_machine(production) -> None:
    times = PairedTimes(candidate=(250.0, 62.0, 300.0), current=(50.0, 51.0, 50.0))
    assert times.ratio == 1.24
    check = judge_speed(another_version(temperature=0.5), production, times)
    assert check.passed
    assert check.detail == (
        "VGG16 2 (int8) takes 62 ms per photo, VGG16 1 (int8) 50 ms: 1.24 times as long. "
        "At most 1.25 times pass (the quickest of 3 each counts)."
    )
    assert not judge_speed(production, production, PairedTimes((63.0,), (50.0,))).passed


def test_a_version_without_files_in_production_does_not_stop_its_successor(production) -> None:
    other = another_version(temperature=0.5)
    (files_of(production) / "engine.tflite").unlink()
    check = speed_check(other, version_artifact(other).load_engine(), production)
    assert check.passed
    assert "VGG16 1 cannot be timed" in check.detail
