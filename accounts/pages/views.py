"""Pages for logging in and out, and for choosing a language."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import views
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from accounts.pages.limits import with_login_limits
from accounts.services import language_set


class LoginView(views.LoginView):
    template_name = "accounts/login.html"
    next_page = "home"
    redirect_authenticated_user = True


class LogoutView(views.LogoutView):
    next_page = "login"


@with_login_limits
def log_in(request: HttpRequest) -> HttpResponseBase:
    """Return the login page of verifiers."""
    return LoginView.as_view()(request)


@with_login_limits
def admin_log_in(request: HttpRequest) -> HttpResponse:
    """Return the login page of the admin, which only lets administrators in."""
    return admin.site.login(request)


@require_POST
def language_choose(request: HttpRequest) -> HttpResponse:
    """Show pages in another language from now on: to this browser, and to this user anywhere."""
    language = request.POST.get("language", "")
    if language not in dict(settings.LANGUAGES):
        return HttpResponseBadRequest("There is no such language.")
    if request.user.is_authenticated:
        language_set(user=request.user, language=language)
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure()):
        back = "/"
    response = HttpResponseRedirect(back)
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        samesite="Lax",
        secure=settings.USE_HTTPS,
        httponly=True,
    )
    return response
