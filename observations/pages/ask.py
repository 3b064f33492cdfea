"""Pages of verifiers: ask."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Take photos, URLs and observations, and show what they are."""
    return render(request, "observations/ask.html")
