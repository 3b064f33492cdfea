"""Pages of verifiers: the queue, one find after the other."""

import functools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_celery_beat.models import PeriodicTask

from accounts.models import User
from observations.api.serializers import DecisionRequest
from observations.models import Observation, QueuePoll
from observations.pages.queue_finds import finds_of
from observations.queue.leases import MAX_HELD, queue_hold, queue_release
from observations.queue.polling import POLL_TASK, poll_switch_on
from observations.queue.selectors import (
    RANK_WORDS,
    decided_since,
    finds_shown_to,
    waiting_for,
)
from observations.queue.undo import Skip, queue_undo
from observations.services import observation_decide

EVENING = timedelta(hours=12)
"""How far back decisions count as those of today: nobody's time zone is known, and midnight
is no end of an evening."""
DECISIONS = {
    "agree": gettext_lazy("you agree"),
    "disagree": gettext_lazy("you disagree"),
    "unsure": gettext_lazy("you are unsure"),
}
MAX_SKIPS = 20
"""Skips that a session remembers, to be undone."""
SKIPS = "queue_skips"
MAX_DIGITS = 18
MAX_SHOWN = 20
"""Finds that a page may say it has already."""


def changes_the_queue(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let a view take forms only. Who comes back to its address after a login gets the queue."""

    @functools.wraps(view)
    def checked(request: HttpRequest, **parameters: str) -> HttpResponse:
        return view(request, **parameters) if request.method == "POST" else redirect("queue")

    return login_required(checked)


@login_required
@never_cache
@require_safe
def queue(request: HttpRequest) -> HttpResponse:
    """Show the find that the user checks next. It is leased to the user."""
    return _show(request, first=_number(request.GET.get("find", "")))


@changes_the_queue
def decide(request: HttpRequest, number: str) -> HttpResponse:
    """Store what the user decided about a find, or give it back, and show the next one."""
    wanted = request.POST.get("decision", "")
    observation = finds_shown_to(_user(request)).filter(pk=number).first()
    if observation is None:
        was_skipped = int(number) in {each.number for each in _skips(request)}
        # The form of a skip may come twice; whatever else comes is too late.
        return _next(request) if was_skipped and wanted == "skip" else _lost(request)
    if observation.decision:
        if wanted != observation.decision:  # else the same form was sent twice
            _tell_that_it_is_decided(request, observation)
        return _next(request)
    if wanted == "skip":
        return _skip(request, observation)
    form = DecisionRequest(
        data={
            "decision": wanted,
            "decision_name": request.POST.get("decision_name") or None,
            "note": request.POST.get("note", ""),
        },
        context={"observation": observation},
    )
    if not form.is_valid():
        for errors in form.errors.values():
            messages.error(request, " ".join(str(error) for error in errors))
        return _show(request, first=observation.pk, status=422)
    said: dict[str, Any] = form.validated_data
    try:
        observation_decide(
            observation=observation,
            decision=said["decision"] or "",
            decision_name=said["decision_name"] or "",
            note=said["note"],
            by=_user(request),
        )
    except Observation.DoesNotExist:
        return _lost(request)
    return _next(request)


@changes_the_queue
def undo(request: HttpRequest) -> HttpResponse:
    """Take back what the user did last, and show that find again."""
    skips = _skips(request)
    undone = queue_undo(user=_user(request), skips=skips)
    if undone is None:
        messages.info(request, gettext("There is nothing to undo."))
        return _next(request)
    if undone.skip is not None:
        _remember(request, [each for each in skips if each != undone.skip])
    if undone.observation is None:
        messages.warning(
            request, gettext("This cannot be undone: somebody else has the find meanwhile.")
        )
        return _next(request)
    told = gettext("Undone. Decide again about find %(number)d.")
    messages.info(request, told % {"number": undone.observation.mushroom_observer_id})
    return _next(request, find=undone.observation.pk)


@changes_the_queue
def more(request: HttpRequest) -> HttpResponse:
    """Renew the user's leases and load finds ahead: those that the page does not have yet."""
    return _next(request)


@changes_the_queue
def switch_on(request: HttpRequest) -> HttpResponse:
    """Have Mushroom Observer polled from now on. Only administrators may do that."""
    if not _user(request).is_admin:
        raise PermissionDenied
    if poll_switch_on():
        told = gettext("Polling is switched on. The first finds come within some minutes.")
        messages.success(request, told)
    else:
        told = gettext("There is no schedule for polls yet: beat adds it when it starts.")
        messages.error(request, told)
    return redirect("queue")


def _skip(request: HttpRequest, observation: Observation) -> HttpResponse:
    try:
        queue_release(observation=observation, user=_user(request))
    except Observation.DoesNotExist:
        return _lost(request)
    _remember(request, [*_skips(request), Skip(observation.pk, timezone.now())])
    return _next(request)


def _lost(request: HttpRequest) -> HttpResponse:
    """Say that a find is not the user's, whyever, and show the next one."""
    told = gettext(
        "Nothing was stored: this find is no longer yours. Its 15 minutes were over and another "
        "verifier has got it, or it was deleted. Here is the next one."
    )
    messages.warning(request, told)
    return _show(request, status=404)


def _tell_that_it_is_decided(request: HttpRequest, observation: Observation) -> None:
    told = gettext(
        "You have decided about find %(number)s before: %(decision)s. Nothing was changed. Undo "
        "your last decisions, or look at your history, to change it."
    )
    decision = DECISIONS[observation.decision]
    values = {"number": observation.mushroom_observer_id, "decision": decision}
    messages.warning(request, told % values)


def _next(request: HttpRequest, find: int | None = None) -> HttpResponse:
    """Show the next find, or `find`: to a script what it lacks, to a browser the page."""
    if request.htmx:  # type: ignore[attr-defined]
        return _show(request, first=find)
    query = f"?{urlencode({'find': find})}" if find is not None else ""
    response = HttpResponseRedirect(f"{reverse('queue')}{query}")
    response.status_code = 303  # a POST becomes a GET
    return response


def _show(request: HttpRequest, *, first: int | None = None, status: int = 200) -> HttpResponse:
    user, is_script = _user(request), bool(request.htmx)  # type: ignore[attr-defined]
    held = queue_hold(user=user, count=MAX_HELD if is_script else 1, first=first)
    has = _numbers(request.POST.get("have", "")) if is_script else set()
    if has - {each.pk for each in held}:
        told = gettext(
            "A find was left out: its 15 minutes were over and another verifier has got it, or it "
            "was decided or deleted elsewhere."
        )
        messages.warning(request, told)
    shown = [each for each in held if each.pk not in has or each.pk == first]
    context = {
        "finds": finds_of(shown if is_script else shown[:1]),
        "held": [each.pk for each in held],
        "first": first,
        **_progress(user),
    }
    if not held:
        context |= _why_empty()
    template = "queue_update" if is_script else "queue"
    return render(request, f"observations/{template}.html", context, status=status)


def _progress(user: User) -> dict[str, Any]:
    now = timezone.now()
    waiting = waiting_for(user, now)
    decided = decided_since(user, now - EVENING)
    total = sum(waiting.values())
    return {
        "decided": decided,
        "waiting": [(RANK_WORDS[rank], count) for rank, count in waiting.items() if count],
        "total": total,
        "all": decided + total,
    }


def _why_empty() -> dict[str, Any]:
    return {
        "is_polled": PeriodicTask.objects.filter(task=POLL_TASK, enabled=True).exists(),
        "poll": QueuePoll.objects.first(),
    }


def _skips(request: HttpRequest) -> list[Skip]:
    stored = request.session.get(SKIPS, [])
    return [Skip(number, datetime.fromisoformat(at)) for number, at in stored]


def _remember(request: HttpRequest, skips: list[Skip]) -> None:
    request.session[SKIPS] = [(each.number, each.at.isoformat()) for each in skips[-MAX_SKIPS:]]


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)


def _number(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
    return int(text) if is_number else None


def _numbers(text: str) -> set[int]:
    found = (_number(each) for each in text.split()[:MAX_SHOWN])
    return {each for each in found if each is not None}
