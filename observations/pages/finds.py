"""The page and the card of one find: its answer, proposed names, decision and deletion."""

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from mlmodels.species_selectors import accepted_names, known_names
from observations.api.serializers import DecisionRequest
from observations.links import links_of
from observations.models import Observation
from observations.name_services import names_replace
from observations.pages.access import visible_find
from observations.pages.questions import read_names
from observations.services import observation_decide, observation_delete, observation_note


@login_required
@require_safe
def find(request: HttpRequest, number: str) -> HttpResponse:
    """Show one find with its answer."""
    observation = visible_find(request, number)
    context: dict[str, Any] = {
        "observation": observation,
        "links": links_of(observation, accepted_names()),
        "own_names": [name.name for name in observation.names.all() if name.naming_id is None],
        "known_names": known_names(),
        "is_own": observation.user_id == request.user.pk,
    }
    return render(request, "observations/find.html", context)


@login_required
@require_safe
def card(request: HttpRequest, number: str) -> HttpResponse:
    """Return the card of a find. While it is pending, the page asks for it again and again.

    `polls` says how often it did.
    """
    polls = request.GET.get("polls", "")
    context = {
        "observation": visible_find(request, number),
        "polls": int(polls) if polls.isascii() and polls.isdecimal() and len(polls) < 4 else 0,
    }
    return render(request, "observations/card_alone.html", context)


@login_required
@require_POST
def names(request: HttpRequest, number: str) -> HttpResponse:
    """Replace the names that the user proposes for a find of their own."""
    observation = _own(request, number)
    proposed, problems = read_names(request.POST)
    try:
        names_replace(observation=observation, proposed=proposed)
    except Observation.DoesNotExist as deleted:
        raise Http404 from deleted
    if request.htmx:  # type: ignore[attr-defined]
        context = {"observation": visible_find(request, number), "problems": problems}
        return render(request, "observations/card_alone.html", context)
    for problem in problems:
        messages.warning(request, problem)
    return _back(observation)


@login_required
@require_POST
def decide(request: HttpRequest, number: str) -> HttpResponse:
    """Store what the user decided about a find, and a note on it.

    Fields: `decision` (agree, disagree, unsure or withdraw) with `decision_name`; `note`.
    """
    observation = visible_find(request, number)
    said: dict[str, str | None] = {}
    if decision := request.POST.get("decision"):
        said["decision"] = None if decision == "withdraw" else decision
        said["decision_name"] = request.POST.get("decision_name") or None
    if "note" in request.POST:
        said["note"] = request.POST["note"]
    form = DecisionRequest(data=said, context={"observation": observation})
    if not form.is_valid():
        for text in (text for texts in form.errors.values() for text in texts):
            messages.error(request, text)
        return _back(observation)
    try:
        _store(observation, form.validated_data, cast(User, request.user))
    except Observation.DoesNotExist as gone:
        raise Http404 from gone
    messages.success(request, gettext("Your decision is stored."))
    return _back(observation)


@login_required
@require_POST
def delete(request: HttpRequest, number: str) -> HttpResponse:
    """Delete a find of the user's own, with its photos."""
    observation_delete(observation=_own(request, number))
    messages.success(request, gettext("The find %(number)s is deleted.") % {"number": number})
    return HttpResponseRedirect(reverse("home"))


def _store(observation: Observation, said: dict[str, str | None], by: User) -> None:
    if "decision" in said:
        observation_decide(
            observation=observation,
            decision=said["decision"] or "",
            decision_name=said["decision_name"] or "",
            by=by,
        )
    if "note" in said:
        observation_note(observation=observation, note=said["note"] or "")


def _own(request: HttpRequest, number: str) -> Observation:
    """Return a find that the user asked about or decided; any other does not exist."""
    observation = visible_find(request, number)
    if observation.user_id != request.user.pk:
        raise Http404
    return observation


def _back(observation: Observation) -> HttpResponse:
    return HttpResponseRedirect(reverse("find", args=[observation.pk]))
