"""Pages of verifiers: account."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


@login_required
def account(request: HttpRequest) -> HttpResponse:
    """Show what the user may change: password, tokens, key, language."""
    return render(request, "observations/account.html")
