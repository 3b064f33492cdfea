"""The page on which Bob compares a version with the one in production, and promotes it."""

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from mlmodels.models import ModelVersion
from mlmodels.selectors import production_version
from supervision.evaluations.admin.side_by_side import figures_context, photos_context
from supervision.evaluations.on_demand import evaluations_request
from supervision.evaluations.promotion import PromotionRefused, promotion_checks, promotion_request
from supervision.evaluations.selectors import version_figures
from supervision.evaluations.shadow import shadow_sentence


class PromotionForm(forms.Form):
    """The reason for a promotion, and whether to override the gate."""

    reason = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))
    override = forms.BooleanField(
        required=False,
        label=gettext_lazy("Promote it although the gate refuses. The history records this."),
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
            messages.success(request, _("%(version)s is in production.") % {"version": version})
            return redirect("admin:mlmodels_modelversion_changelist")
    current = production_version()
    title = _("Promote %(version)s") % {"version": version}
    context |= {"title": title, "version": version, "current": current, "form": form}
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
        **figures_context(candidate_figures, current_figures),
    }
    if current_figures:
        shown |= photos_context(candidate_figures, current_figures)
    return shown
