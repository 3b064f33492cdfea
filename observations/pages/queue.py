"""Pages of verifiers: queue."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


@login_required
def queue(request: HttpRequest) -> HttpResponse:
    """Show the next find that is worth a look."""
    return render(request, "observations/queue.html")
