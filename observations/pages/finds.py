"""The page of one find."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from observations.pages.access import visible_find


@login_required
@require_safe
def find(request: HttpRequest, number: str) -> HttpResponse:
    """Show one find with its answer."""
    return render(request, "observations/find.html", {"observation": visible_find(request, number)})
