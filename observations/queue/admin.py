"""Admin page of the queue: what waits, who holds which, and how the polls of the site go."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask

from common.admin import ReadOnlyAdmin, latin
from common.paging import CappedPaginator
from observations.models import Observation, ProposedName, QueueEntry, QueuePoll
from observations.mushroom_observer.references import observation_url
from observations.queue.polling import POLL_TASK, poll_request
from observations.queue.selectors import (
    IS_UNDECIDED,
    RANK_WORDS,
    RANKS,
    entries_to_read,
    is_free,
    pending_photos,
    ranked,
    waiting_counts,
)
from predictions.verdicts import VERDICT_LABELS


class StateFilter(admin.SimpleListFilter):
    """Filters by what is to be done with a find."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, Any]]:
        return [
            ("waiting", _("waits for a verifier")),
            ("held", _("held by a verifier")),
            ("decided", _("decided")),
            ("to_read", _("to be read at the site")),
            ("predicting", _("photos are being looked at")),
            ("failed", _("photos could not be had")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        now, status = timezone.now(), Observation.Status
        conditions = {
            "waiting": IS_UNDECIDED & is_free(now),
            "held": IS_UNDECIDED & Q(leased_until__gt=now),
            "decided": Q(observation__isnull=False) & ~Q(observation__decision=""),
            "to_read": Q(is_to_read=True),
            "predicting": Q(is_to_read=False, observation__status=status.PENDING),
            "failed": Q(is_to_read=False, observation__status=status.FAILED),
        }
        condition = conditions.get(self.value() or "")
        return queryset if condition is None else queryset.filter(condition)


@admin.register(QueueEntry)
class QueueEntryAdmin(ReadOnlyAdmin):
    change_list_template = "admin/observations/queue_list.html"
    list_display = ("mushroom_observer_id", "state", "reason", "verdicts", "holder", "read_at")
    list_filter = (StateFilter,)
    list_per_page = 50
    search_fields = ("=mushroom_observer_id", "=leased_to__username")
    search_help_text = _("The id of an observation at Mushroom Observer, or a user.")
    fields = (
        *("mushroom_observer_id", "page", "observation", "state", "reason", "verdicts"),
        *("leased_to", "leased_until", "skipped_by", "is_to_read", "changed_at", "read_at"),
        "failures",
    )
    sortable_by = ()
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[QueueEntry]:
        entries = QueueEntry.objects.select_related("observation__user", "leased_to")
        return ranked(entries).prefetch_related("observation__names")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Sort what waits by urgency. All finds are too many for that: the newest come first."""
        if request.GET.get(StateFilter.parameter_name) in ("waiting", "held"):
            return ("rank", "mushroom_observer_id")
        return ("-mushroom_observer_id",)

    @admin.display(description=_("state"))
    def state(self, entry: QueueEntry) -> str:
        observation = entry.observation
        if entry.is_to_read:
            return gettext("to be read at the site")
        if observation is None:
            return gettext("nothing to check")
        if observation.decision:
            return gettext("decided by %(user)s: %(decision)s") % {
                "user": observation.user or gettext("a deleted user"),
                "decision": observation.get_decision_display(),
            }
        if observation.status == Observation.Status.PENDING:
            return gettext("photos are being looked at")
        if observation.status == Observation.Status.FAILED:
            return gettext("photos could not be had: %(reason)s") % {
                "reason": observation.error_detail
            }
        return gettext("held") if self._is_held(entry) else gettext("waits")

    @admin.display(description=_("why first"))
    def reason(self, entry: QueueEntry) -> str:
        observation = entry.observation
        is_told = observation is not None and observation.status == Observation.Status.DONE
        return str(RANK_WORDS[RANKS[entry.rank]]) if is_told else ""  # type: ignore[attr-defined]

    @admin.display(description=_("verdicts"))
    def verdicts(self, entry: QueueEntry) -> str:
        names = entry.observation.names.all() if entry.observation else ()
        return verdict_words(names)

    @admin.display(description=_("held by"))
    def holder(self, entry: QueueEntry) -> str:
        if not self._is_held(entry) or entry.leased_until is None:
            return ""
        return gettext("%(user)s until %(time)s") % {
            "user": entry.leased_to or gettext("a deleted user"),
            "time": date_format(timezone.localtime(entry.leased_until), "TIME_FORMAT"),
        }

    @admin.display(description=_("page"))
    def page(self, entry: QueueEntry) -> str:
        url = observation_url(entry.mushroom_observer_id)
        return format_html('<a href="{}" rel="noreferrer">{}</a>', url, url)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        now = timezone.now()
        context = {
            "poll": QueuePoll.objects.first(),
            "schedules": [_schedule(row) for row in PeriodicTask.objects.filter(task=POLL_TASK)],
            "waiting": [(RANK_WORDS[rank], count) for rank, count in waiting_counts(now).items()],
            "to_read": entries_to_read(now).count(),
            "pending_photos": pending_photos(),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [path("poll/", wrap(self.poll_now), name="observations_poll"), *super().get_urls()]

    def poll_now(self, request: HttpRequest) -> HttpResponse:
        """Send a poll to a worker."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        if poll_request():
            messages.success(
                request,
                gettext(
                    "A worker asks Mushroom Observer now, at the site's pace: this takes some "
                    "minutes. Reload this page to see the result."
                ),
            )
        else:
            messages.error(
                request,
                gettext(
                    "The poll was not sent: the broker does not answer. Run ./champipy status."
                ),
            )
        return redirect("admin:observations_queueentry_changelist")

    def _is_held(self, entry: QueueEntry) -> bool:
        return entry.leased_until is not None and entry.leased_until > timezone.now()


def verdict_words(names: Iterable[ProposedName]) -> str:
    """Return proposed names with their verdicts in words, on one line."""
    return format_html_join(
        "; ",
        "{}{}",
        (
            (latin(name.name), f": {VERDICT_LABELS[name.verdict]}" if name.verdict else "")
            for name in names
        ),
    )


def _schedule(row: PeriodicTask) -> dict[str, Any]:
    """Return whether and when a schedule's entry polls next, and the page that changes that."""
    due_in = None
    if row.enabled:
        due_in = row.schedule.remaining_estimate(row.last_run_at or row.date_changed)
    return {
        "is_on": row.enabled,
        "next_at": None if due_in is None else max(timezone.now(), timezone.now() + due_in),
        "interval": row.interval or row.crontab or "",
        "url": reverse("admin:django_celery_beat_periodictask_change", args=[row.pk]),
    }
