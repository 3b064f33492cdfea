"""Admin pages of people: users with what they use, and their tokens."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html_join
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from knox.models import AuthToken

from accounts.models import MAX_TOKEN_NAME, Token, User
from accounts.people import figures_of, last_seen, people_figures
from accounts.permissions import PermissionNamesAdmin
from accounts.selectors import tokens_of
from accounts.services import user_token_create
from common.admin import CsvListAdmin, time_text

admin.site.unregister(AuthToken)  # knox's page shows hashes; Token is the same table


def _used_text(token: Token) -> str:
    if token.last_used_at is None:
        return gettext("never used")
    return gettext("last used %(date)s") % {"date": time_text(token.last_used_at)}


class PeopleList(ChangeList):
    """A page of users, with the figures of all of them read at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        _add_figures(self.result_list)


def _add_figures(users: list[Any]) -> None:
    figures, seen = figures_of(users), last_seen(users)
    for user in users:
        user.figures = {name: values.get(user.pk) for name, values in figures.items()}
        user.seen_at = seen.get(user.pk)


def _figure_column(name: str) -> Callable[[User], Any]:
    @admin.display(description=people_figures[name].title)
    def column(user: User) -> Any:
        return user.figures[name]  # type: ignore[attr-defined]

    column.__name__ = name  # the heading of the CSV
    return column


@admin.register(User)
class UserAdmin(CsvListAdmin, PermissionNamesAdmin, DjangoUserAdmin):
    """Users, whether they are administrators (`is_staff`), and how much they use."""

    list_filter = ("is_staff", "is_active")
    readonly_fields = ("use", "tokens", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password", "email", "language")}),
        (_("Use"), {"fields": ("use", "tokens", "last_login", "date_joined")}),
        (_("Rights"), {"fields": ("is_active", "is_staff", "is_superuser")}),
        (
            _("Name, groups and single permissions"),
            {
                "classes": ("collapse",),
                "fields": ("first_name", "last_name", "groups", "user_permissions"),
            },
        ),
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PeopleList

    def prepare_for_csv(self, rows: list[Any]) -> None:
        _add_figures(rows)

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        figures = [_figure_column(name) for name in people_figures]
        return ("username", "role", *figures, "seen", "is_active")

    @admin.display(description=_("role"), ordering="is_staff")
    def role(self, user: User) -> str:
        return gettext("administrator") if user.is_staff else gettext("user")

    @admin.display(description=_("last seen"))
    def seen(self, user: User) -> str:
        return time_text(user.seen_at)  # type: ignore[attr-defined]

    @admin.display(description=_("use"))
    def use(self, user: User) -> str:
        """Return the figures of one user, as the list has them."""
        rows = [
            (people_figures[name].title, localize(values.get(user.pk, "-")))
            for name, values in figures_of([user]).items()
        ]
        rows.append((_("last seen"), time_text(last_seen([user]).get(user.pk)) or "-"))
        return format_html_join("", "<p>{}: {}</p>", rows)

    @admin.display(description=_("tokens"))
    def tokens(self, user: User) -> str:
        """Return a line for each valid token, with a link to its revocation."""
        lines = [
            (
                token,
                _used_text(token),
                reverse("admin:accounts_token_delete", args=[quote(token.pk)]),
                gettext("Revoke…"),
            )
            for token in tokens_of(user)
        ]
        line = '<p>{}, {} <a href="{}">{}</a></p>'
        return format_html_join("", line, lines) or gettext("none")


class TokenForm(forms.Form):
    """Whose new token it is, and what it is called."""

    user = forms.ModelChoiceField(
        User.objects.filter(is_active=True).order_by("username"), label=_("user")
    )
    name = forms.CharField(
        max_length=MAX_TOKEN_NAME,
        label=_("name"),
        help_text=_("What it is for: “laptop”, “script on the NAS”."),
    )


@admin.register(Token)
class TokenAdmin(CsvListAdmin):
    """All tokens that are valid. One is shown once, when it is made; then only its hash is kept."""

    list_display = ("__str__", "user", "made_at", "used", "ends_at")
    list_select_related = ("user", "details")
    ordering = ("-created",)
    sortable_by = ()
    search_fields = ("details__name", "user__username")
    search_help_text = _("A user, or the name of a token")
    fields = readonly_fields = ("user", "made_at", "used", "ends_at")
    actions = ("revoke_selected",)

    @admin.display(description=_("made at"))
    def made_at(self, token: Token) -> str:
        return time_text(token.created)

    @admin.display(description=_("use"))
    def used(self, token: Token) -> str:
        return _used_text(token)

    @admin.display(description=_("ends at"))
    def ends_at(self, token: Token) -> str:
        return time_text(token.expiry)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Token]:
        tokens = super().get_queryset(request).select_related("user", "details")
        return tokens.filter(Q(expiry=None) | Q(expiry__gte=timezone.now()))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_actions(self, request: HttpRequest) -> dict:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.action(description=_("Revoke the selected tokens"), permissions=["delete"])
    def revoke_selected(self, request: HttpRequest, tokens: QuerySet[Token]) -> None:
        count = tokens.count()
        self.log_deletions(request, tokens)
        tokens.delete()
        messages.success(
            request,
            ngettext("%(count)d token was revoked.", "%(count)d tokens were revoked.", count)
            % {"count": count},
        )

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict | None = None
    ) -> HttpResponse:
        """Make a token and show it, once."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = TokenForm(request.POST or None)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Make a token"),
            "form": form,
        }
        if request.method == "POST" and form.is_valid():
            user, name = form.cleaned_data["user"], form.cleaned_data["name"]
            token, expiry = user_token_create(username=user.username, name=name)
            context |= {"token": token, "expiry": expiry, "owner": user, "name": name}
        return TemplateResponse(request, "admin/accounts/token_make.html", context)
