"""My account: usage, password, tokens, API key of Mushroom Observer."""

from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe
from rest_framework.exceptions import Throttled

from accounts.api.throttling import MushroomObserverThrottle
from accounts.backends import password_check_turn
from accounts.models import MAX_TOKEN_NAME, User
from accounts.pages.limits import count_request, with_login_limits
from accounts.selectors import tokens_of
from accounts.services import user_token_create, user_token_revoke
from observations.api.mushroom_observer_forms import KeyRequest
from observations.key_services import (
    mushroom_observer_key_delete,
    mushroom_observer_key_store,
    mushroom_observer_key_wait,
)
from observations.models import MushroomObserverKey
from observations.mushroom_observer.transport import ApiKey
from predictions.api.waiting import waiting_places
from predictions.quotas import usage_of

KEY_CHECK_S = 5
"""How long the page waits for Mushroom Observer to say whose key it is."""

Status = MushroomObserverKey.Status


@login_required
@require_safe
@never_cache
def account(request: HttpRequest) -> HttpResponse:
    """Show what the user has used, and what may be changed."""
    return _page(request)


@login_required
@require_POST
@sensitive_post_parameters()
@with_login_limits
def password_change(request: HttpRequest) -> HttpResponse:
    """Change the password, for which the present one is asked. Tokens and other sessions end."""
    user = cast(User, request.user)
    form = PasswordChangeForm(user, request.POST)
    with password_check_turn():
        is_valid = form.is_valid()
    if not is_valid:
        return _page(request, password_form=form, status=400)
    form.save()
    update_session_auth_hash(request, user)
    messages.success(request, gettext("Your password is changed. Your tokens are revoked."))
    return _back()


@login_required
@require_POST
@never_cache
def token_add(request: HttpRequest) -> HttpResponse:
    """Make a token for the API, and show it once."""
    name = request.POST.get("name", "").strip()
    if not name or len(name) > MAX_TOKEN_NAME or not name.isprintable():
        text = gettext("Give the token a name of at most %(count)d characters.")
        return _page(request, token_error=text % {"count": MAX_TOKEN_NAME}, status=400)
    token, _ = user_token_create(username=request.user.get_username(), name=name)
    return _page(request, new_token=token)


@login_required
@require_POST
def token_revoke(request: HttpRequest, digest: str) -> HttpResponse:
    """Revoke a token of the user's own."""
    if not user_token_revoke(user=cast(User, request.user), digest=digest):
        raise Http404
    messages.success(request, gettext("The token is revoked: nothing can use it any more."))
    return _back()


@login_required
@require_POST
@sensitive_post_parameters()
def key_store(request: HttpRequest) -> HttpResponse:
    """Store the user's API key of Mushroom Observer, and tell what the site says of it."""
    form = KeyRequest(data={"key": request.POST.get("key", "").strip()})
    if not form.is_valid():
        text = gettext("An API key is a text without spaces. Copy it from Mushroom Observer.")
        return _page(request, key_error=text, status=400)
    user = cast(User, request.user)
    try:
        count_request(request, MushroomObserverThrottle())
    except Throttled as error:
        return _page(request, key_error=error.detail, status=error.status_code)
    stored = mushroom_observer_key_store(user=user, key=ApiKey(form.validated_data["key"]))
    with waiting_places.taken_by(user.pk) as may_wait:
        mushroom_observer_key_wait(stored=stored, timeout_s=KEY_CHECK_S if may_wait else 0)
    if stored.status == Status.REFUSED:
        return _page(request, key_error=stored.detail, status=422)
    messages.success(request, gettext("Your key is stored, encrypted. It is never shown again."))
    return _back()


@login_required
@require_POST
def key_delete(request: HttpRequest) -> HttpResponse:
    """Delete the user's API key."""
    mushroom_observer_key_delete(user=cast(User, request.user))
    messages.success(request, gettext("Your key is deleted."))
    return _back()


def _page(request: HttpRequest, *, status: int = 200, **context: Any) -> HttpResponse:
    user = cast(User, request.user)
    context = {
        "usage": usage_of(user=user),
        "tokens": tokens_of(user),
        "max_token_name": MAX_TOKEN_NAME,
        "key": MushroomObserverKey.objects.filter(user=user).first(),
        "site": settings.CHAMPIPY_MUSHROOM_OBSERVER_URL.rstrip("/"),
        "password_form": _without_autofocus(PasswordChangeForm(user)),
    } | context
    return render(request, "observations/account.html", context, status=status)


def _without_autofocus(form: PasswordChangeForm) -> PasswordChangeForm:
    """Return the form, which is not the only one of the page, without its claim to the focus."""
    form.fields["old_password"].widget.attrs.pop("autofocus", None)
    return form


def _back() -> HttpResponse:
    return HttpResponseRedirect(reverse("account"))
