"""Estimates how long a run still takes once its network is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

EXPORT_S: Final = 40.0
REGISTRATION_S: Final = 5.0
ENGINE_PHOTO_S: Final = 0.06
FLOAT_PHOTO_S: Final = 0.25
"""Seconds for a photo, measured on two 2.8 GHz cores; each stage corrects them by its own pace."""


class FinalStages:
    """The stages after a training: export, evaluation, parity and registration, in this order.

    `evaluated` and `compared` are numbers of photos: those that the engine scores, and those that
    the float network scores as well. `clock` returns seconds.
    """

    def __init__(self, *, evaluated: int, compared: int, clock: Callable[[], float]) -> None:
        self._expected_s = {
            "export": EXPORT_S,
            "evaluation": ENGINE_PHOTO_S * evaluated,
            "parity": FLOAT_PHOTO_S * compared,
            "registration": REGISTRATION_S,
        }
        self._clock = clock
        self._stage, self._began = "", 0.0

    @property
    def total_s(self) -> float:
        """Return the expected seconds of all stages."""
        return sum(self._expected_s.values())

    def seconds_left(self, stage: str, done: float = 0.0) -> float:
        """Return the expected seconds until the end of the last stage.

        `done` is the completed share of `stage`, 0 to 1. Call it first when a stage begins: its
        pace is measured from that call on.
        """
        if stage != self._stage:
            self._stage, self._began = stage, self._clock()
        spent = self._clock() - self._began
        names = list(self._expected_s)
        later = sum(self._expected_s[name] for name in names[names.index(stage) + 1 :])
        if done > 0:
            return spent / done * (1 - done) + later
        return max(0.0, self._expected_s[stage] - spent) + later
