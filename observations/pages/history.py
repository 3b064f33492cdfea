"""Pages of what a verifier asked and decided."""

from typing import cast

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.models import User
from observations.selectors import observations_visible_to


@login_required
def finds(request: HttpRequest) -> HttpResponse:
    """List the finds that the user asked about or decided."""
    return render(request, "observations/history.html")


@login_required
def find(request: HttpRequest, number: str) -> HttpResponse:
    """Show one find with its answer."""
    observation = observations_visible_to(cast(User, request.user)).filter(pk=number).first()
    if observation is None:
        raise Http404
    return render(request, "observations/find.html", {"observation": observation})
