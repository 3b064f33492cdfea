"""Puts versions into production and back, if a gate allows it (docs/adr/0007-the-gate.md)."""

from typing import Any

import numpy as np
from django.conf import settings
from django.utils import translation

from accounts.models import User
from common.messages import Message, Text, joined, message_of, text_dump
from mlmodels.ml.artifact import ArtifactError
from mlmodels.ml.calibration import softmax
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.metrics import PairedAuroc
from mlmodels.models import ModelVersion
from mlmodels.selectors import production_version, version_artifact
from mlmodels.services import NoPreviousVersion, version_promote, version_rollback
from predictions.dispatch import announce_production_version
from supervision.evaluations.comparison import compare_answers, compare_scopes
from supervision.evaluations.gate_checks import (
    NOTHING_IN_PRODUCTION,
    GateCheck,
    drawn_image,
    scope_check,
    speed_check,
)
from supervision.evaluations.on_demand import EvaluationProgress, evaluations_request
from supervision.evaluations.selectors import VersionFigures, version_figures

HOW_TO_OVERRIDE = Message("Send `override` with a reason to promote it anyway.")


class PromotionRefused(Exception):  # noqa: N818 - an answer, not a fault
    """The version in production stays; `code` and `detail` say why and what to do."""

    def __init__(self, code: str, detail: Text) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


def version_checks(version: ModelVersion) -> list[GateCheck]:
    """Check that a version's files are intact and that it scores a test image sensibly."""
    return _version_checks(version)[0]


def _version_checks(version: ModelVersion) -> tuple[list[GateCheck], LiteRTEngine | None]:
    """Return the checks of `version_checks`, and the engine if it could be loaded."""
    try:
        artifact = version_artifact(version)
        engine = artifact.load_engine()
    except (ArtifactError, OSError) as error:
        return [GateCheck("files_intact", False, message_of(error))], None
    megabytes = sum(record["size"] for record in version.files.values()) / 1e6
    detail = Message(
        "%(megabytes).1f MB, with the card's SHA-256 sums.", megabytes=float(megabytes)
    )
    intact = GateCheck("files_intact", True, detail)
    scores = engine.score(drawn_image(version.input_size))
    percentages = 100 * softmax(scores.logits[: len(artifact.card.labels)], version.temperature)
    faults = []
    if percentages.shape != (len(version.labels),):
        faults.append(
            Message(
                "It gave %(count)d scores for %(species)d species.",
                count=int(percentages.size),
                species=len(version.labels),
            )
        )
    if not np.isfinite(percentages).all() or not np.isclose(percentages.sum(), 100):
        faults.append(
            Message(
                "It gave scores that sum to %(sum).2f instead of 100.",
                sum=float(percentages.sum()),
            )
        )
    if not np.isfinite(scores.embedding).all():
        faults.append(Message("It gave an embedding that is not finite."))
    if faults:
        return [intact, GateCheck("smoke_prediction", False, joined(faults))], engine
    detail = Message(
        "A test image got %(count)d scores, the best %(score).1f %% (%(species)s).",
        count=len(percentages),
        score=float(percentages.max()),
        species=version.labels[int(percentages.argmax())],
    )
    return [intact, GateCheck("smoke_prediction", True, detail)], engine


def promotion_checks(
    version: ModelVersion, current: ModelVersion | None, evaluating: EvaluationProgress | None
) -> list[GateCheck]:
    """Return the gate's checks for replacing `current` with `version`.

    `evaluating` is what `evaluations_request` returned for both: None if both are evaluated.
    """
    scopes: PairedAuroc | None = None
    if evaluating is not None:
        why = evaluating.error or Message(
            "Still being measured: %(done)d of %(total)d photos.",
            done=evaluating.done,
            total=evaluating.total,
        )
        measured = [GateCheck("target_reached", False, why), GateCheck("not_worse", False, why)]
    else:
        candidate = version_figures(version)
        current_figures = version_figures(current) if current else None
        measured = [_target_reached(candidate), _not_worse(candidate, current_figures)]
        if current_figures and candidate.evaluation and current_figures.evaluation:
            scopes = compare_scopes(candidate.evaluation, current_figures.evaluation)
    of_files, engine = _version_checks(version)
    speed = [speed_check(version, engine, current)] if engine is not None else []
    return [*measured, scope_check(version, current, scopes), *of_files, *speed]


def _target_reached(candidate: VersionFigures) -> GateCheck:
    target = settings.CHAMPIPY_TARGET_ACCURACY
    if candidate.metrics is None:
        detail = Message(
            "%(version)s was never measured. Import evaluation photos.", version=candidate.version
        )
        return GateCheck("target_reached", False, detail)
    accuracy = 100 * candidate.metrics["accuracy"]
    low, high = candidate.metrics["ci95"]
    detail = Message(
        "%(accuracy).1f %% of %(count)d evaluation photos, %(source)s (95 %% interval "
        "%(low).1f %% to %(high).1f %%); the target is %(target)g %%.",
        accuracy=accuracy,
        count=candidate.metrics["n"],
        source=candidate.source,
        low=100 * low,
        high=100 * high,
        target=target,
    )
    return GateCheck("target_reached", accuracy >= target, detail)


def _not_worse(candidate: VersionFigures, current: VersionFigures | None) -> GateCheck:
    name = "not_worse"
    if current is None:
        return GateCheck(name, True, NOTHING_IN_PRODUCTION)
    if candidate.evaluation is not None and current.evaluation is not None:
        paired = compare_answers(candidate.evaluation, current.evaluation)
        if paired.n:
            words = paired.in_words(candidate.version, current.version)
            return GateCheck(name, not paired.is_worse, words)
    new, old = candidate.metrics, current.metrics
    if new and old and new["evaluation_set"] == old["evaluation_set"]:
        low, high = old["ci95"]
        detail = Message(
            "By their cards, on the same photos: %(new).1f %%, against %(old).1f %% (%(low).1f %% "
            "to %(high).1f %%) of %(version)s.",
            new=100 * new["accuracy"],
            old=100 * old["accuracy"],
            low=100 * low,
            high=100 * high,
            version=current.version,
        )
        return GateCheck(name, new["accuracy"] >= low, detail)
    detail = Message(
        "%(version)s and %(current)s were not measured on the same photos. Import evaluation "
        "photos of the species of both.",
        version=candidate.version,
        current=current.version,
    )
    return GateCheck(name, False, detail)


def gate_record(checks: list[GateCheck], *, overridden: bool) -> dict[str, Any]:
    """Return the value of StageTransition.gate."""
    with translation.override("en"):  # `told` is for readers of other languages
        return {
            "passed": all(check.passed for check in checks),
            "overridden": overridden,
            "checks": [
                {
                    "name": check.name,
                    "passed": check.passed,
                    "detail": str(check.detail),
                    "told": text_dump(check.detail),
                }
                for check in checks
            ],
        }


def promotion_request(*, version: ModelVersion, by: User, reason: str, override: bool) -> None:
    """Put a version into production if all checks of the gate pass.

    `override` ignores failed checks, except those that cannot be overridden. A version that is in
    production already stays there, and nothing is recorded.
    Raises PromotionRefused: `being_measured` while a worker evaluates what the gate compares (call
    again), `gate_failed` with the checks that failed.
    """
    current = production_version()
    if version == current:
        return
    evaluating = evaluations_request(versions=[version, *([current] if current else [])])
    if evaluating is not None and not evaluating.error:
        raise PromotionRefused(
            "being_measured",
            Message(
                "%(version)s is being compared with the version in production on the evaluation "
                "photos: %(done)d of %(total)d done. Nothing was changed. Try again soon.",
                version=version,
                done=evaluating.done,
                total=evaluating.total,
            ),
        )

    def gate(candidate: ModelVersion, current: ModelVersion | None) -> dict[str, Any]:
        return _judge(promotion_checks(candidate, current, evaluating), candidate, override)

    version_promote(version=version, by=by, reason=reason, gate=gate)
    announce_production_version()


def rollback_request(*, leaving: ModelVersion | None, by: User, reason: str = "") -> bool:
    """Put back the version that was in production before `leaving`, if it can answer.

    `leaving` is the version in production. If it no longer is, nothing changes. Returns whether a
    version was put back.
    Raises PromotionRefused: `nothing_to_roll_back_to`, or `gate_failed` if the files of the version
    to put back are damaged.
    """
    nothing = PromotionRefused(
        "nothing_to_roll_back_to",
        Message("No version was in production before this one. Promote another one instead."),
    )
    if leaving is None:
        raise nothing

    def gate(candidate: ModelVersion, current: ModelVersion | None) -> dict[str, Any]:
        return _judge(version_checks(candidate), candidate, override=False, is_rollback=True)

    try:
        is_done = version_rollback(
            leaving=leaving, by=by, reason=reason or f"Rollback of {leaving}", gate=gate
        )
    except NoPreviousVersion as error:
        raise nothing from error
    if is_done:
        announce_production_version()
    return is_done


def production_changed(current: ModelVersion | None) -> PromotionRefused:
    """Return the refusal of a rollback whose caller saw another version in production."""
    return PromotionRefused(
        "production_changed",
        Message(
            "%(version)s is in production now, not the version that you saw. Nothing was changed. "
            "Look at the versions and decide again.",
            version=current or Message("No version"),
        ),
    )


def _judge(
    checks: list[GateCheck], version: ModelVersion, override: bool, *, is_rollback: bool = False
) -> dict[str, Any]:
    """Return the gate's record, or raise PromotionRefused: `version` was not promoted."""
    failed = [check for check in checks if not check.passed]
    can_be_overridden = all(check.can_be_overridden for check in failed)
    if failed and not (override and can_be_overridden):
        if is_rollback:
            refusal = Message("%(version)s was not put back.", version=version)
        else:
            refusal = Message("%(version)s was not promoted.", version=version)
        failures = [
            Message("%(check)s: %(detail)s", check=check.title, detail=check.detail)
            for check in failed
        ]
        advice = HOW_TO_OVERRIDE if can_be_overridden else Message("This cannot be overridden.")
        raise PromotionRefused("gate_failed", joined([refusal, *failures, advice]))
    return gate_record(checks, overridden=bool(failed))
