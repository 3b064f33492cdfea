"""Writes at Mushroom Observer from pages: a vote, a name, a comment."""

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.api.throttling import MushroomObserverThrottle
from accounts.models import User
from observations.api.mushroom_observer_forms import (
    CommentRequest,
    NamingRequest,
    VoteRequest,
    WriteRequest,
)
from observations.comment_drafts import comment_draft, marked
from observations.models import MushroomObserverWrite, Observation
from observations.queue.selectors import entries_in_hand
from observations.selectors import observations_visible_to
from observations.write_errors import NotWritten
from observations.write_services import write_create, write_wait
from predictions.api.waiting import waiting_places

FORMS: dict[str, tuple[type[WriteRequest], tuple[str, ...]]] = {
    "vote": (VoteRequest, ("naming", "vote")),
    "naming": (NamingRequest, ("name", "vote")),
    "comment": (CommentRequest, ("summary", "content")),
}
"""For each kind of write the API's form and its fields."""
WAIT_S = 8.0
State = MushroomObserverWrite.State


@login_required
def write(request: HttpRequest, number: str, kind: str) -> HttpResponse:
    """Write on an observation with the user's own key, and say what became of it.

    Who comes back to this address after a login gets the page of the find.
    """
    if request.method != "POST":
        return redirect("find", number=number)
    user = cast(User, request.user)
    observation = observations_visible_to(user).filter(pk=number, answer__isnull=False).first()
    if observation is None:
        raise Http404
    if _is_too_often(request):
        messages.error(request, gettext("You wrote too often. Wait a minute, and try again."))
    else:
        _write(request, observation, kind)
    return _back(user, observation)


def _write(request: HttpRequest, observation: Observation, kind: str) -> None:
    form_class, fields = FORMS[kind]
    said = {name: request.POST.get(name, "").replace("\r\n", "\n") for name in fields}
    form = form_class(
        data={**said, "seen": request.POST.get("seen", "")}, context={"observation": observation}
    )
    if not form.is_valid():
        for name, errors in form.errors.items():
            messages.error(request, f"{name}: {' '.join(str(error) for error in errors)}")
        return
    content: dict[str, Any] = form.validated_data
    seen = content.pop("seen")
    if kind == MushroomObserverWrite.Kind.COMMENT:
        content["content"] = marked(content["content"], comment_draft(observation).mark)
    user = cast(User, request.user)
    try:
        written = write_create(
            user=user, observation=observation, kind=kind, content=content, seen=seen
        )
    except NotWritten as refused:
        messages.error(request, refused.detail)
        return
    with waiting_places.taken_by(user.pk) as may_wait:
        if may_wait:
            write_wait(write=written, timeout_s=WAIT_S)
    _tell(request, written)


def _tell(request: HttpRequest, written: MushroomObserverWrite) -> None:
    """Say what became of a write."""
    if written.state == State.SENT:
        messages.success(request, gettext("Mushroom Observer has taken it."))
    elif written.state == State.FAILED:
        messages.error(request, written.error_detail)
    elif written.state == State.UNKNOWN:
        told = gettext(
            "Mushroom Observer gave no clear answer. ChampiPy looks whether it was done, and says "
            "so below in some minutes."
        )
        messages.warning(request, told)
    else:
        messages.info(request, gettext("It is being sent. Its state is told below."))


def _is_too_often(request: HttpRequest) -> bool:
    """Count the write in the API's rate limit; return whether there were too many."""
    counted = Request(request)
    counted.user = request.user
    return not MushroomObserverThrottle().allow_request(counted, APIView())


def _back(user: User, observation: Observation) -> HttpResponse:
    """Send the browser back to the find: in the queue while the user holds it."""
    is_held = entries_in_hand(user, timezone.now()).filter(observation=observation).exists()
    to = reverse("find", args=[observation.pk])
    if is_held:
        to = f"{reverse('queue')}?find={observation.pk}"
    response = HttpResponseRedirect(f"{to}#site-{observation.pk}")
    response.status_code = 303  # a POST becomes a GET
    return response
