"""Tells administrators that an upgrade brought a better version than the one in production."""

from functools import cache

from common.messages import Message, joined
from mlmodels.ml.card import CARD, read_card
from mlmodels.models import ModelVersion
from mlmodels.selectors import production_version
from mlmodels.services import PRETRAINED
from supervision.evaluations.gate_checks import knows_others
from supervision.evaluations.selectors import version_figures
from supervision.models import Alert
from supervision.monitoring.alert_services import alert_raise, alerts_resolve


@cache
def _shipped_sums() -> tuple[str, ...]:
    """Return the SHA-256 of the files that come with ChampiPy; none if there is no version."""
    path = PRETRAINED / CARD
    if not path.exists():
        return ()
    return tuple(sorted(record.sha256 for record in read_card(path).files.values()))


def waiting_shipped_version() -> ModelVersion | None:
    """Return the version that came with this ChampiPy if it waits in Staging, else None."""
    waiting = ModelVersion.objects.filter(stage=ModelVersion.Stage.STAGING, run=None)
    for version in waiting.order_by("-pk"):
        if tuple(sorted(file["sha256"] for file in version.files.values())) == _shipped_sums():
            return version
    return None


def shipped_version_watch() -> None:
    """Raise an alert while the version that came along waits and is better; else resolve it.

    It is promoted by nobody but an administrator.
    """
    shipped, current = waiting_shipped_version(), production_version()
    kind = Alert.Kind.BETTER_VERSION
    unresolved = Alert.objects.filter(kind=kind).exclude(status=Alert.Status.RESOLVED)
    for alert in unresolved.exclude(model_version=shipped).select_related("model_version"):
        alerts_resolve(kind=kind, version=alert.model_version)
    if shipped is None or current is None:
        return
    accuracies = _accuracies(shipped, current)
    reasons = []
    if accuracies and accuracies[0] > accuracies[1]:
        reasons.append(
            Message(
                "It is right on %(new).1f %% of the same evaluation photos, %(version)s on "
                "%(old).1f %%.",
                new=100 * accuracies[0],
                version=current,
                old=100 * accuracies[1],
            )
        )
    if knows_others(shipped) and not knows_others(current):
        reasons.append(
            Message(
                "It tells photos of other species apart, which %(version)s never learnt to do.",
                version=current,
            )
        )
    if not reasons:
        alerts_resolve(kind=kind, version=shipped)
        return
    new, old = accuracies or (0.0, 0.0)
    detail = joined(reasons)
    if not unresolved.filter(model_version=shipped, detail=detail).exists():
        alert_raise(
            kind=kind,
            version=shipped,
            value=round(100 * new, 2),
            threshold=round(100 * old, 2),
            detail=detail,
        )


def _accuracies(shipped: ModelVersion, current: ModelVersion) -> tuple[float, float] | None:
    """Return both accuracies on the same photos, 0 to 1: measured here, else by the cards."""
    here = version_figures(shipped).metrics, version_figures(current).metrics
    by_cards = shipped.metrics.get("evaluation"), current.metrics.get("evaluation")
    for new, old in (here, by_cards):
        if new and old and new["evaluation_set"] == old["evaluation_set"]:
            return new["accuracy"], old["accuracy"]
    return None
