"""Checks of the gate: whether a version lost scope, and how long it takes for a photo."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from common.messages import Message, Text, joined, message_of
from mlmodels.ml.answers import OTHER_CLASS
from mlmodels.ml.artifact import ArtifactError
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.metrics import PairedAuroc
from mlmodels.ml.model_card import missing_scope
from mlmodels.models import ModelVersion
from mlmodels.selectors import version_artifact

MAX_SLOWER = 1.25
"""The gate fails a version that takes more than this many times as long per photo."""
TIMED_PAIRS = 7
"""How many times each engine is timed in a round, in turn with the other."""
NOTHING_IN_PRODUCTION = Message("No version is in production.")
MAX_ROUNDS = 4
"""Rounds until a version passes; after the last one it fails."""


CHECK_NAMES: dict[str, Text] = {
    "target_reached": Message("target reached"),
    "not_worse": Message("not worse"),
    "scope": Message("scope"),
    "files_intact": Message("files intact"),
    "smoke_prediction": Message("smoke prediction"),
    "speed": Message("speed"),
}
"""What people read for each of the checks, which the API and stored gates name by the keys."""


def check_name(name: str) -> Text:
    """Return the name of a check as people read it; one of an older ChampiPy stays as it is."""
    return CHECK_NAMES.get(name, name)


@dataclass(frozen=True)
class GateCheck:
    """The result of one check of the gate; `detail` has the numbers behind it."""

    name: str
    passed: bool
    detail: Text

    @property
    def title(self) -> Text:
        """Return the name as people read it."""
        return check_name(self.name)

    @property
    def can_be_overridden(self) -> bool:
        """Return whether `override` may ignore a failure: not if the version cannot answer."""
        return self.name not in ("files_intact", "smoke_prediction")


def drawn_image(size: int) -> np.ndarray:
    """Return a drawn image, uint8 RGB [size, size, 3]: a light disc on a dark gradient."""
    rows, columns = np.mgrid[0:size, 0:size] / size
    disc = np.hypot(rows - 0.5, columns - 0.5) < 0.3
    channels = [rows * 100 + 100 * disc, columns * 100 + 60 * disc, 40 + 60 * disc]
    return np.stack(channels, axis=-1).astype(np.uint8)


def scope_check(
    version: ModelVersion, current: ModelVersion | None, measured: PairedAuroc | None = None
) -> GateCheck:
    """Check that `version` still tells photos of other species apart, if `current` does.

    Their areas under the ROC curve (AUROC) are those of their cards: out of fold, at the training.
    `measured`: of both, here, on the same evaluation photos, if there are enough.
    """
    name = "scope"
    if current is None:
        return GateCheck(name, True, NOTHING_IN_PRODUCTION)
    both = {"version": version, "current": current}
    if not knows_others(current):
        detail = (
            Message("%(current)s learnt nothing of other species, %(version)s did.", **both)
            if knows_others(version)
            else Message(
                "%(current)s learnt nothing of other species, nor did %(version)s.", **both
            )
        )
        return GateCheck(name, True, detail)
    if not knows_others(version):
        detail = Message(
            "Scope was lost: %(current)s learnt from photos of other species what is none of its "
            "own, and %(version)s did not. %(reason)s Import such photos (./champipy import_photos "
            "DIR --split training --other), and train again.",
            **both,
            reason=missing_scope_of(version),
        )
        return GateCheck(name, False, detail)
    checks = [_scope_by_cards(version, current), *([_scope_here(measured)] if measured else [])]
    details = joined([detail for _, detail in checks])
    return GateCheck(name, all(passed for passed, _ in checks), details)


def _scope_by_cards(version: ModelVersion, current: ModelVersion) -> tuple[bool, Message]:
    """Return whether the card of `version` tells others about as well, and the figures."""
    new, old = scope_auroc(version), scope_auroc(current)
    if new is None or old is None:
        unmeasured = version if new is None else current
        return True, Message(
            "Both learnt other species; the card of %(version)s has no AUROC.", version=unmeasured
        )
    (value, (low, high)), (old_value, _interval) = new, old
    detail = Message(
        "Other species are told apart with an AUROC of %(value).3f (95 %% interval %(low).3f to "
        "%(high).3f), against %(old).3f of %(current)s; by their cards, out of fold.",
        value=value,
        low=low,
        high=high,
        old=old_value,
        current=current,
    )
    return high >= old_value, detail


def _scope_here(measured: PairedAuroc) -> tuple[bool, Message]:
    """Return whether the first of both tells others about as well, and the figures."""
    low, high = measured.ci95
    detail = Message(
        "Measured here, on the same %(count)d photos of other species: %(new).3f, against "
        "%(old).3f (95 %% interval of the difference %(low)+.3f to %(high)+.3f).",
        count=measured.n_negative,
        new=measured.first,
        old=measured.second,
        low=low,
        high=high,
    )
    return high >= 0, detail


def knows_others(version: ModelVersion) -> bool:
    """Return whether a version learnt from photos of other species what is none of its own."""
    calibration = version.card.get("calibration")
    return calibration is not None and calibration["scope"]["method"] == OTHER_CLASS


def missing_scope_of(version: ModelVersion) -> Text:
    """Return why a version does not tell other species as well as it could; empty if it does."""
    calibration = version.card.get("calibration")
    method = calibration["scope"]["method"] if calibration else None
    reason = missing_scope(method, version.card.get("recipe", {}))
    return Message(reason) if reason else ""


def scope_auroc(version: ModelVersion) -> tuple[float, tuple[float, float]] | None:
    """Return the AUROC of scope in a version's card and its 95 % interval; None if it has none."""
    area = version.metrics.get("out_of_fold", {}).get("scope", {}).get("auroc")
    if not area:
        return None
    low, high = area["ci95"]
    return area["value"], (low, high)


@dataclass(frozen=True)
class PairedTimes:
    """Times of two engines that took turns, in milliseconds per photo; both equally many."""

    candidate: tuple[float, ...]
    current: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Return how many times as long the candidate takes: its quickest by the other's.

        What else the machine does, to its caches for example, only adds time, so the quickest tells
        most of the engine itself.
        """
        return min(self.candidate) / min(self.current)


def time_in_turn(candidate: Callable[[], object], current: Callable[[], object]) -> PairedTimes:
    """Call both in turn after a first call that does not count, and return their times.

    The times are those of this thread on a processor, so waiting for one does not count; all work
    must be done in this thread. They are taken in rounds, until the candidate is quick enough or
    MAX_ROUNDS are over: a machine that was busy in one round may be idle in the next.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for score in (candidate, current):
        score()
    for _ in range(MAX_ROUNDS):
        for _ in range(TIMED_PAIRS):
            for score, taken in zip((candidate, current), times, strict=True):
                started = time.thread_time()
                score()
                taken.append(1000 * (time.thread_time() - started))
        paired = PairedTimes(tuple(times[0]), tuple(times[1]))
        if paired.ratio <= MAX_SLOWER:
            break
    return paired


def speed_check(
    version: ModelVersion, engine: LiteRTEngine, current: ModelVersion | None
) -> GateCheck:
    """Check that `engine`, of `version`, takes about as long for a photo as that of `current`.

    Both are timed now, on a drawn image; both have one thread.
    """
    name = "speed"
    if current is None:
        return GateCheck(name, True, NOTHING_IN_PRODUCTION)
    try:
        current_engine = version_artifact(current).load_engine()
    except (ArtifactError, OSError) as error:
        detail = Message(
            "%(version)s cannot be timed: %(reason)s", version=current, reason=message_of(error)
        )
        return GateCheck(name, True, detail)
    image, current_image = drawn_image(engine.input_size), drawn_image(current_engine.input_size)
    times = time_in_turn(lambda: engine.score(image), lambda: current_engine.score(current_image))
    return judge_speed(version, current, times)


def judge_speed(version: ModelVersion, current: ModelVersion, times: PairedTimes) -> GateCheck:
    """Return the check of speed for these times."""
    new, old = min(times.candidate), min(times.current)
    detail = Message(
        "%(version)s (%(precision)s) takes %(new).0f ms per photo, %(current)s "
        "(%(current_precision)s) %(old).0f ms: %(ratio).2f times as long. At most %(limit)g times "
        "pass (the quickest of %(count)d each counts).",
        version=version,
        precision=precision(version),
        new=new,
        current=current,
        current_precision=precision(current),
        old=old,
        ratio=times.ratio,
        limit=MAX_SLOWER,
        count=len(times.candidate),
    )
    return GateCheck("speed", times.ratio <= MAX_SLOWER, detail)


def precision(version: ModelVersion) -> Text:
    """Return the precision of a version's engine as its card states it: int8 or float16."""
    return version.metrics.get("engine", {}).get("precision") or Message("precision unknown")
