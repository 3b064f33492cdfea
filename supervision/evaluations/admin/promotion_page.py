"""The page on which Bob compares a version with the one in production, and promotes it."""

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts.models import User
from mlmodels.models import ModelVersion
from mlmodels.selectors import production_version
from supervision.evaluations.admin.figures import calibration_text
from supervision.evaluations.comparison import (
    compare_answers,
    photos_by_sha256,
    species_rows,
)
from supervision.evaluations.on_demand import evaluations_request
from supervision.evaluations.promotion import PromotionRefused, promotion_checks, promotion_request
from supervision.evaluations.selectors import VersionFigures, version_figures
from supervision.evaluations.shadow import shadow_sentence

SHOWN_DISAGREEMENTS = 36


class PromotionForm(forms.Form):
    """The reason for a promotion, and whether to override the gate."""

    reason = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))
    override = forms.BooleanField(
        required=False, label="Promote it although the gate refuses. The history records this."
    )


def promotion_page(
    request: HttpRequest, version: ModelVersion, context: dict[str, Any]
) -> HttpResponse:
    """Return the page of a version; a POST promotes it, and redirects to the list of versions."""
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
        context |= {"shadow": shadow_sentence(version, current), **_comparison(version, current)}
    return render(request, "admin/supervision/version_promote.html", context)


def _comparison(version: ModelVersion, current: ModelVersion | None) -> dict[str, Any]:
    """Return what the page shows of both, or only the progress while they are evaluated."""
    evaluating = evaluations_request(versions=[version, *([current] if current else [])])
    if evaluating is not None and not evaluating.error:
        return {"evaluating": evaluating}
    candidate_figures = version_figures(version)
    current_figures = version_figures(current) if current else None
    checks = promotion_checks(version, current, evaluating)
    failed = [check for check in checks if not check.passed]
    shown: dict[str, Any] = {
        "checks": checks,
        "has_failed": bool(failed),
        "is_possible": all(check.can_be_overridden for check in failed),
        "rows": [
            (
                name,
                figure(candidate_figures),
                figure(current_figures) if current_figures else "",
            )
            for name, figure in FIGURES
        ],
        "species": species_rows(candidate_figures, current_figures),
    }
    candidate_evaluation = candidate_figures.evaluation
    current_evaluation = current_figures.evaluation if current_figures else None
    if current and candidate_evaluation is not None and current_evaluation is not None:
        paired, disagreements = compare_answers(candidate_evaluation, current_evaluation)
        photos = photos_by_sha256(disagreements[:SHOWN_DISAGREEMENTS])
        shown |= {
            "paired": paired,
            "paired_summary": paired.in_words(version, current),
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
    """Return a function that formats a version's metrics with `text`."""
    return lambda figures: text(dict(figures.metrics)) if figures.metrics else "not measured"


FIGURES: list[tuple[str, Callable[[VersionFigures], str]]] = [
    ("accuracy (95 % interval)", _of_metrics(_accuracy)),
    (
        "without photos near training photos",
        _of_metrics(lambda metrics: _accuracy(metrics.get("without_near_training"))),
    ),
    (
        "evaluation photos near training photos",
        lambda figures: (
            f"{figures.near_training} of {figures.metrics['n']}" if figures.metrics else ""
        ),
    ),
    ("calibration error (95 % interval)", lambda figures: calibration_text(figures.metrics)),
    (
        "mean best score, and accuracy",
        _of_metrics(lambda metrics: f"{metrics['mean_score']:.1%}, {metrics['accuracy']:.1%}"),
    ),
    (
        "engine time per photo, one thread",
        lambda figures: (
            f"{figures.evaluation.ms_per_photo:.0f} ms"
            if figures.evaluation and figures.evaluation.ms_per_photo
            else "not measured here"
        ),
    ),
    ("source of the figures", lambda figures: str(figures.source)),
]
"""Rows of the comparison: a name, and a function that formats a version's figure."""
