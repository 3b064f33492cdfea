"""What a version would have answered otherwise in Staging, on photos that people asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.template.defaultfilters import floatformat
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mlmodels.ml.metrics import wilson_interval
from mlmodels.models import ModelVersion, StageTransition
from mlmodels.selectors import production_version
from predictions.models import Inference
from predictions.shadow_selectors import (
    MAX_SHADOWS,
    SHADOW_DAYS,
    are_shadows_on,
    photos_to_shadow,
    shadow_inferences,
    shadow_of,
    shadow_versions,
)

NONE_KNOWN = ""
"""The name that an answer has if it is none of the version's species."""


class Change(StrEnum):
    """How a version's answer differs from that of the version in production."""

    SPECIES = "species"
    """It names another species."""
    OUT = "out"
    """It knows none, where the other names one."""
    IN = "in"
    """It names one, where the other knows none."""


@dataclass(frozen=True)
class Answer:
    """What people read of an inference."""

    name: str
    """The species, or NONE_KNOWN."""
    confidence: float
    """How sure it is of that, in percent: the species' score, or that it shows none of them."""


@dataclass(frozen=True)
class ShadowPhoto:
    """A photo and what both versions say of it."""

    photo_id: int
    current: Answer
    """Of the version in production then."""
    candidate: Answer
    """Of the version that is, or was, in Staging."""

    @property
    def change(self) -> Change | None:
        """How the candidate's answer differs; None if it says the same."""
        if self.candidate.name == self.current.name:
            return None
        if self.candidate.name == NONE_KNOWN:
            return Change.OUT
        return Change.IN if self.current.name == NONE_KNOWN else Change.SPECIES


@dataclass(frozen=True)
class Share:
    """`count` of `n` photos, n >= 1. All percentages are from 0 to 100."""

    count: int
    n: int

    @property
    def percent(self) -> float:
        return 100 * self.count / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        low, high = wilson_interval(self.count, self.n)
        return 100 * low, 100 * high


@dataclass(frozen=True)
class ShadowReport:
    """How a version answers what people asked for lately, beside the one in production."""

    version: ModelVersion
    production: ModelVersion
    photos: Sequence[ShadowPhoto]
    """Those that both have scored."""
    n_waiting: int
    """Photos that it is still to score."""
    obstacle: str
    """Why it scores no more photos, and what to do; empty if nothing is in the way."""
    can_retry: bool
    """Whether that is because workers died."""

    @property
    def total(self) -> int:
        return len(self.photos) + self.n_waiting

    @property
    def otherwise(self) -> Share | None:
        """The share of photos that it would have answered otherwise; None without photos."""
        return self._share(lambda photo: photo.change is not None)

    @property
    def by_change(self) -> list[tuple[Change, Share]]:
        """Return the share of all photos for each kind of change."""
        if not self.photos:
            return []
        counts = [(change, self.changed(change)) for change in Change]
        return [(change, Share(len(photos), len(self.photos))) for change, photos in counts]

    @property
    def by_answer(self) -> list[tuple[str, Share]]:
        """Return the share answered otherwise for each answer of the version in production.

        The answers are in the order of their names; NONE_KNOWN is last.
        """
        totals: dict[str, list[bool]] = {}
        for photo in self.photos:
            totals.setdefault(photo.current.name, []).append(photo.change is not None)
        names = sorted(totals, key=lambda name: (name == NONE_KNOWN, name))
        return [(name, Share(sum(totals[name]), len(totals[name]))) for name in names]

    def changed(
        self, change: Change | None = None, *, current: str | None = None
    ) -> list[ShadowPhoto]:
        """Return the photos that it answers otherwise, those first of which it is surest.

        `change` and `current` (a name of the version in production) choose among them.
        """
        chosen = [
            photo
            for photo in self.photos
            if photo.change is not None
            and change in (None, photo.change)
            and current in (None, photo.current.name)
        ]
        return sorted(chosen, key=lambda photo: (-photo.candidate.confidence, photo.photo_id))

    def _share(self, is_counted: Callable[[ShadowPhoto], bool]) -> Share | None:
        if not self.photos:
            return None
        return Share(sum(map(is_counted, self.photos)), len(self.photos))


@dataclass(frozen=True)
class ShadowPeriod:
    """A version's time in Staging."""

    production: ModelVersion | None
    """The version in production now or, if the time has ended, then."""
    ended: datetime | None
    """When the version left Staging; None if it is there."""


def shadow_period(version: ModelVersion) -> ShadowPeriod:
    """Return a version's time in Staging, and which version was in production then."""
    if version.stage == ModelVersion.Stage.STAGING:
        return ShadowPeriod(production_version(), None)
    left = version.transitions.filter(from_stage=ModelVersion.Stage.STAGING).first()
    if left is None:
        return ShadowPeriod(None, None)
    promotions = StageTransition.objects.filter(to_stage=ModelVersion.Stage.PRODUCTION)
    before = promotions.filter(pk__lt=left.pk).select_related("model_version").first()
    return ShadowPeriod(before.model_version if before else None, left.created_at)


def shadow_report(
    version: ModelVersion, production: ModelVersion, *, ended: datetime | None = None
) -> ShadowReport:
    """Return what a version in Staging has said so far, beside the version in production.

    `ended`: when it left Staging; then it scores no more photos.
    """
    candidate = _answers(list(shadow_inferences(version, production, until=ended)))
    inferences = Inference.objects.filter(model_version=production, photo__in=candidate.keys())
    current = _answers(list(inferences.order_by()))
    photos = [
        ShadowPhoto(photo_id, current[photo_id], answer)
        for photo_id, answer in sorted(candidate.items())
        if photo_id in current
    ]
    if ended is not None:
        return ShadowReport(version, production, photos, 0, "", False)
    shadow = shadow_of(version)
    obstacle = _obstacle(version)
    if not obstacle and shadow.error:
        obstacle = _("It cannot score photos: %(error)s") % {"error": shadow.error}
    waiting = [] if obstacle else photos_to_shadow(shadow, production)
    is_left_alone = not obstacle and shadow.is_left_alone
    if is_left_alone:
        obstacle = _(
            "%(count)s workers died while they scored photos for it, so it scores no more. "
            "./champipy logs inference says why."
        ) % {"count": shadow.lost_workers}
    return ShadowReport(version, production, photos, len(waiting), obstacle, is_left_alone)


def shadow_sentence(version: ModelVersion, production: ModelVersion | None) -> str:
    """Return in a sentence how often a version in Staging would have answered otherwise.

    Empty if it is not in Staging, or if none is in production.
    """
    if production is None or version.stage != ModelVersion.Stage.STAGING:
        return ""
    share = shadow_report(version, production).otherwise
    if share is None:
        return _("It has scored no photo yet that people asked for in the last %(days)s days.") % {
            "days": SHADOW_DAYS
        }
    low, high = share.interval
    return ngettext(
        "Of %(n)s photo that people asked for lately, it would have answered %(count)s otherwise "
        "than %(production)s: %(share)s %% (95 %% interval %(low)s to %(high)s %%).",
        "Of %(n)s photos that people asked for lately, it would have answered %(count)s otherwise "
        "than %(production)s: %(share)s %% (95 %% interval %(low)s to %(high)s %%).",
        share.n,
    ) % {
        "n": share.n,
        "count": share.count,
        "production": production,
        "share": floatformat(share.percent, 1),
        "low": floatformat(low, 1),
        "high": floatformat(high, 1),
    }


def _obstacle(version: ModelVersion) -> str:
    """Return why a version in Staging is no shadow; empty if it is one."""
    if not are_shadows_on():
        return _("Shadows are switched off: CHAMPIPY_SHADOW_PHOTOS is 0.")
    if version not in shadow_versions():
        return _(
            "Only the %(count)s newest versions in Staging score photos beside production; this "
            "one is older."
        ) % {"count": MAX_SHADOWS}
    return ""


def _answers(inferences: Sequence[Inference]) -> dict[int, Answer]:
    """Return what people read of inferences, by the photos' ids."""
    return {inference.photo_id: _answer(inference) for inference in inferences}


def _answer(inference: Inference) -> Answer:
    if inference.in_scope is False:
        return Answer(NONE_KNOWN, 100 - (inference.scope_score or 0))
    return Answer(inference.best_species, inference.best_score)
