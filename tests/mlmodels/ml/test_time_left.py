"""The time that a run still takes once its network is trained."""

from mlmodels.ml.time_left import (
    ENGINE_PHOTO_S,
    EXPORT_S,
    FLOAT_PHOTO_S,
    REGISTRATION_S,
    FinalStages,
)


class Clock:
    """A clock that the test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_stage_counts_its_own_pace_and_what_follows():
    clock = Clock()
    stages = FinalStages(evaluated=100, compared=40, clock=clock)
    evaluation_s, parity_s = 100 * ENGINE_PHOTO_S, 40 * FLOAT_PHOTO_S
    assert stages.total_s == EXPORT_S + evaluation_s + parity_s + REGISTRATION_S
    assert stages.seconds_left("export") == stages.total_s
    clock.now += 10
    assert stages.seconds_left("export") == stages.total_s - 10
    clock.now += 500
    assert stages.seconds_left("export") == evaluation_s + parity_s + REGISTRATION_S
    assert stages.seconds_left("evaluation", 0) == evaluation_s + parity_s + REGISTRATION_S
    clock.now += 30  # a busy machine: a quarter took half a minute
    assert stages.seconds_left("evaluation", 0.25) == 90 + parity_s + REGISTRATION_S
    assert stages.seconds_left("parity", 0) == parity_s + REGISTRATION_S
    clock.now += 4
    assert stages.seconds_left("parity", 1) == REGISTRATION_S
    assert stages.seconds_left("registration") == REGISTRATION_S
    clock.now += 2
    assert stages.seconds_left("registration") == REGISTRATION_S - 2


def test_a_stage_that_comes_again_begins_again():
    clock = Clock()
    stages = FinalStages(evaluated=10, compared=10, clock=clock)
    stages.seconds_left("evaluation", 0)
    stages.seconds_left("parity", 0)
    clock.now += 60
    stages.seconds_left("evaluation", 0)  # of the float16 engine
    clock.now += 2
    after = 10 * FLOAT_PHOTO_S + REGISTRATION_S
    assert stages.seconds_left("evaluation", 0.5) == 2 + after
