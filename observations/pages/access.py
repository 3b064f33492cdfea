"""Finds that a page may show, and answers that are pages for people and pieces for htmx."""

from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.models import User
from observations.models import Observation
from observations.selectors import observations_visible_to


def visible_find(request: HttpRequest, number: str) -> Observation:
    """Return a find of the user with its pictures; another user's does not exist."""
    visible = observations_visible_to(cast(User, request.user), with_pictures=True)
    observation = visible.filter(pk=number).first()
    if observation is None:
        raise Http404
    return observation


def piece_or_page(request: HttpRequest, piece: str, context: dict[str, Any]) -> HttpResponse:
    """Return a template as a piece for htmx, or within a page for who followed a link.

    The context's `title` is that of the page.
    """
    is_piece = bool(getattr(request, "htmx", False))
    template = piece if is_piece else "observations/piece_page.html"
    response = render(request, template, {"piece": piece, **context})
    response.headers["Vary"] = "HX-Request, Cookie"
    return response
