"""The page on which Bob compares a version with the one in production, and puts it into service."""

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts.models import User
from mlmodels.models import ModelVersion
from mlmodels.selectors import production_version
from supervision.evaluations.comparison import compare_answers, photos_by_sha256, species_rows
from supervision.evaluations.on_demand import evaluations_request
from supervision.evaluations.promotion import PromotionRefused, promotion_checks, promotion_request
from supervision.evaluations.selectors import VersionFigures, version_figures

SHOWN_DISAGREEMENTS = 36


class PromotionForm(forms.Form):
    """Why; and whether in spite of the gate."""

    reason = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))
    override = forms.BooleanField(
        required=False, label="Promote it although the gate says no. The history will say so."
    )


def promotion_page(
    request: HttpRequest, version: ModelVersion, context: dict[str, Any]
) -> HttpResponse:
    """Answer the page for a version; a POST promotes it, and leads to the list of versions."""
    form = PromotionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            promotion_request(version=version, by=cast(User, request.user), **form.cleaned_data)
        except PromotionRefused as refused:
            messages.error(request, refused.detail)
        else:
            messages.success(request, f"{version} is in production.")
            return redirect("admin:mlmodels_modelversion_changelist")
    current = production_version()
    context |= {"title": f"Promote {version}", "version": version, "current": current, "form": form}
    if version != current:
        context |= _comparison(version, current)
    return render(request, "admin/supervision/version_promote.html", context)


def _comparison(version: ModelVersion, current: ModelVersion | None) -> dict[str, Any]:
    """Return what the page shows of both; while they are measured, how far that is."""
    evaluating = evaluations_request(versions=[version, *([current] if current else [])])
    if evaluating is not None and not evaluating.error:
        return {"evaluating": evaluating}
    ours = version_figures(version)
    theirs = version_figures(current) if current else None
    checks = promotion_checks(version, current, evaluating)
    failed = [check for check in checks if not check.passed]
    shown: dict[str, Any] = {
        "checks": checks,
        "has_failed": bool(failed),
        "is_possible": all(check.can_be_overridden for check in failed),
        "rows": [
            (name, figure(ours), figure(theirs) if theirs else "") for name, figure in FIGURES
        ],
        "species": species_rows(ours, theirs),
    }
    if current and theirs and ours.evaluation is not None and theirs.evaluation is not None:
        paired, disagreements = compare_answers(ours.evaluation, theirs.evaluation)
        photos = photos_by_sha256(disagreements[:SHOWN_DISAGREEMENTS])
        shown |= {
            "paired": paired,
            "paired_words": paired.in_words(version, current),
            "n_disagreements": len(disagreements),
            "disagreements": [
                (photos.get(photo.sha256), photo) for photo in disagreements[:SHOWN_DISAGREEMENTS]
            ],
        }
    return shown


def _accuracy(metrics: dict[str, Any] | None) -> str:
    if not metrics:
        return "not measured"
    low, high = metrics["ci95"]
    share = f"{metrics['accuracy']:.1%} ({low:.1%} to {high:.1%})"
    return f"{share}, {metrics['correct']} of {metrics['n']}"


def _of_metrics(text: Callable[[dict[str, Any]], str]) -> Callable[[VersionFigures], str]:
    return lambda measured: text(dict(measured.metrics)) if measured.metrics else "not measured"


FIGURES: list[tuple[str, Callable[[VersionFigures], str]]] = [
    ("accuracy (95 % interval)", _of_metrics(_accuracy)),
    (
        "without photos near training photos",
        _of_metrics(lambda metrics: _accuracy(metrics.get("without_near_training"))),
    ),
    (
        "evaluation photos near training photos",
        lambda measured: (
            f"{measured.near_training} of {measured.metrics['n']}" if measured.metrics else ""
        ),
    ),
    ("calibration error (ECE)", _of_metrics(lambda metrics: f"{metrics['ece']:.1%}")),
    (
        "mean best score, and accuracy",
        _of_metrics(lambda metrics: f"{metrics['mean_score']:.1%}, {metrics['accuracy']:.1%}"),
    ),
    (
        "engine's time for a photo, one thread",
        lambda measured: (
            f"{measured.evaluation.ms_per_photo:.0f} ms"
            if measured.evaluation and measured.evaluation.ms_per_photo
            else "not measured here"
        ),
    ),
    ("where the figures come from", lambda measured: measured.source),
]
"""What the page says of each version."""
