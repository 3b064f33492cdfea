"""The first page: photos, their addresses and observations are asked about, many at once.

What is asked becomes observations, within the same limits as in the API. A request of htmx gets the
cards of its finds; a form that is sent without scripts leads back to the page, which shows them.
"""

import hashlib
import re
import secrets
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_safe
from rest_framework.exceptions import Throttled

from accounts.api.idempotency import body_sha256, created_once
from accounts.api.throttling import PredictionThrottle
from accounts.models import User
from accounts.pages.limits import count_request
from common.uploads import ASK_PATH, MAX_OBSERVATION_BYTES
from mlmodels.models import ModelVersion
from mlmodels.selectors import production_version
from mlmodels.species_selectors import known_names
from observations.api.serializers import MAX_PHOTOS
from observations.models import Observation
from observations.mushroom_observer_services import observation_ask
from observations.pages.questions import Question, QuestionRefused, read_question
from observations.selectors import observations_asked_by, told_observations
from observations.services import observation_create
from predictions.errors import FAILURES, NotAccepted
from predictions.quotas import seconds_until_tomorrow
from predictions.storage_space import refuse_when_full

RECENT = 12
"""Finds that the page shows, the last ones: with more, it grows beyond 150 kB."""


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the form, and what the user asked lately."""
    return _page(request)


@csrf_exempt  # `_answer` checks the token: only a body within the limits is read
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def ask(request: HttpRequest) -> HttpResponse:
    """Make observations of what a form asks."""
    if request.method != "POST":
        return HttpResponseRedirect(reverse("home"))
    try:
        _count(request, 1)
        _read_body(request)
        return _answer(request)
    except QuestionRefused as refused:
        return _refusal(request, refused)


@csrf_protect
def _answer(request: HttpRequest) -> HttpResponse:
    question = read_question(request.POST, request.FILES.getlist("photo"))
    _count(request, question.cost - 1)
    observations, problems = _asked(request, question)
    problems = question.problems + problems
    if not request.htmx:  # type: ignore[attr-defined]
        for problem in problems:
            messages.warning(request, problem)
        return HttpResponseRedirect(reverse("home"))
    told = told_observations(with_pictures=True).filter(pk__in=[each.pk for each in observations])
    context = {"finds": told.order_by("-pk"), "problems": problems}
    return render(request, "observations/cards.html", context)


def _asked(request: HttpRequest, question: Question) -> tuple[list[Observation], list[str]]:
    """Make the observations, once for each form; return them, and what was not accepted.

    Raises QuestionRefused if nothing was.
    """
    user, version = cast(User, request.user), production_version()
    refusals: list[NotAccepted] = []

    def create() -> list[Observation]:
        created = []
        for find in question.finds:
            try:
                created.append(_create(user, version, find, question.proposed))
            except NotAccepted as refused:
                refusals.append(refused)
        if not created:
            raise refusals[0]
        return created

    body = request.POST.copy()
    key = body.pop("key", [""])[-1]
    body.pop("csrfmiddlewaretoken", None)
    body.setlist("photo", request.FILES.getlist("photo"))  # type: ignore[arg-type]
    if not re.fullmatch("[0-9a-f]{16,64}", key):
        key = secrets.token_hex(16)
    digest = body_sha256(body)
    try:
        observations = created_once(
            user=user,
            path=ASK_PATH,
            # The form may be changed and sent again: that is another question.
            key=hashlib.sha256(f"{key} {digest}".encode()).hexdigest(),
            body_sha256=digest,
            create=create,
            rows=Observation.objects.all(),
        )
    except NotAccepted as refused:
        wait_s = seconds_until_tomorrow() if refused.code == "quota_exceeded" else None
        status = FAILURES[refused.code].status
        raise QuestionRefused(refused.detail, status, wait_s) from refused
    return observations, [
        gettext("%(count)d of %(all)d were not accepted: %(why)s")
        % {"count": len(refusals), "all": len(question.finds), "why": refusals[0].detail}
    ] if refusals else []


def _create(
    user: User, version: ModelVersion | None, find: list | int, proposed: list[str]
) -> Observation:
    if isinstance(find, int):
        return observation_ask(user=user, number=find)
    return observation_create(user=user, photos=find, proposed=proposed, version=version)


def _count(request: HttpRequest, cost: int) -> None:
    """Count requests in the API's rate limit of predictions; raise QuestionRefused beyond it."""
    if not cost:
        return
    try:
        count_request(request, PredictionThrottle(cost))
    except Throttled as error:
        wait_s = getattr(error, "wait", None) or 1
        told = gettext("You ask too often. Go on in %(seconds)d seconds.") % {"seconds": wait_s}
        raise QuestionRefused(told, 429, wait_s) from error


def _read_body(request: HttpRequest) -> None:
    """Have Django parse the form. Raises QuestionRefused if it is too large, or malformed."""
    too_large = gettext("A photo may have 10 MB, and all photos of a form together 60 MB.")
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_OBSERVATION_BYTES:
        raise QuestionRefused(too_large, 413)
    try:
        with refuse_when_full():
            _ = request.POST
    except NotAccepted as refused:
        raise QuestionRefused(refused.detail, FAILURES[refused.code].status) from refused
    except RequestDataTooBig as error:
        raise QuestionRefused(gettext("The text is too long: 1 MB is allowed."), 413) from error
    except SuspiciousOperation as error:
        told = gettext("Send at most %(max)d photos at a time.") % {"max": MAX_PHOTOS}
        raise QuestionRefused(told, 413) from error
    except MultiPartParserError as error:
        raise QuestionRefused(gettext("The form arrived damaged. Send it again."), 400) from error


def _refusal(request: HttpRequest, refused: QuestionRefused) -> HttpResponse:
    if request.htmx:  # type: ignore[attr-defined]
        context = {"problems": [refused.detail]}
        response = render(request, "observations/cards.html", context, status=refused.status)
    else:
        response = _page(request, refused=refused)
    if refused.wait_s is not None:
        response.headers["Retry-After"] = str(int(refused.wait_s) + 1)
    return response


def _page(request: HttpRequest, refused: QuestionRefused | None = None) -> HttpResponse:
    user = cast(User, request.user)
    is_kept = refused is not None and refused.status == 422
    entered = request.POST if is_kept else QueryDict()
    context: dict[str, Any] = {
        "finds": observations_asked_by(user, with_pictures=True)[:RECENT],
        "known_names": known_names(),
        "key": secrets.token_hex(16),
        "max_photos": MAX_PHOTOS,
        "refused": refused,
        "entered": entered,
        "entered_names": entered.getlist("proposed"),
    }
    status = refused.status if refused is not None else 200
    return render(request, "observations/ask.html", context, status=status)
