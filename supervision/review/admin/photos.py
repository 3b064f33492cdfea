"""Admin pages of photos: their believed species, and the review of one or many at once.

The list works without JavaScript; with it, there are keys, too (supervision/static/…/review.js).
"""

from copy import copy
from typing import Any, cast
from urllib.parse import unquote_to_bytes
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseNotAllowed,
    JsonResponse,
    QueryDict,
)
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from common.admin import ReadOnlyAdmin
from common.paging import ReviewPaginator
from predictions.models import Photo
from predictions.pictures import picture_wait
from supervision.datasets.selectors import species_names
from supervision.review.admin.filters import WAITING, DoubtFilter, ReviewFilter, SpeciesFilter
from supervision.review.admin.form import parse_review_form
from supervision.review.admin.lists import next_in, page_of, waiting_lists
from supervision.review.history import last_decision, photo_count, photo_reviews
from supervision.review.selectors import (
    filter_named,
    other_names,
    photos_for_review,
)
from supervision.review.services import decision_undo
from supervision.review.words import waiting_text

CARD = "supervision/photo_card.html"
PICTURE_WAIT_S = 5.0
"""How long a request waits for a worker to make a picture."""
PER_PAGE = 24
"""Photos on a page: a form with all of them selected stays below Django's limit of fields."""


@admin.register(Photo)
class PhotoAdmin(ReadOnlyAdmin):
    change_list_template = "admin/supervision/photo_list.html"
    change_form_template = "admin/supervision/photo.html"
    list_display = ("sha256",)  # the template shows cards instead of a table
    csv_columns = (
        *("id", "sha256", "believed", "label_source", "split", "excluded"),
        *("reviewed_by", "reviewed_at", "author", "licence", "source", "origin", "created_at"),
    )
    list_filter = (ReviewFilter, DoubtFilter, "split", "label_source", SpeciesFilter)
    search_fields = ("sha256",)  # the form is shown if there are any; filter_named searches
    search_help_text = _("The beginning of an address, of a file name or of a SHA-256")
    list_per_page = PER_PAGE
    paginator = ReviewPaginator
    list_max_show_all = 0
    show_full_result_count = False
    actions = None
    fields = (
        *("label", "is_other", "other_name", "label_source", "split", "split_at", "excluded"),
        *("reviewed_by", "reviewed_at"),
        *("author", "licence", "source", "is_reserved"),
        *("origin", "mushroom_observer_id", "sha256", "width", "height", "bytes", "created_at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Photo]:
        return photos_for_review()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        return filter_named(queryset, search_term) if search_term.strip() else queryset, False

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Sort newest first; by lowest score or greatest doubt where the filter asks for it."""
        by_doubt = {"score": ("inference__best_score", "-id"), "label": ("-doubt__doubt", "-id")}
        return by_doubt.get(request.GET.get("doubt", ""), ("-id",))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list; without a filter, as from the navigation, show what waits."""
        if request.method == "GET" and not request.GET:
            return redirect(f"{request.path}?review={WAITING}")
        context = {
            "lists": waiting_lists(request.GET),
            "species": species_names(),
            "other_names": other_names(),
            "undo": last_decision(cast(User, request.user)),
            "query": request.GET.urlencode(),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("review/", wrap(self.review), name="predictions_photo_review"),
            path("undo/", wrap(self.undo), name="predictions_photo_undo"),
            path(
                "<int:photo_id>/thumbnail",
                wrap(self.thumbnail),
                name="predictions_photo_thumbnail",
            ),
            path("<int:photo_id>/picture", wrap(self.picture), name="predictions_photo_picture"),
            *super().get_urls(),
        ]

    def review(self, request: HttpRequest) -> HttpResponse:
        """Apply an administrator's decision; return the list, or the photo's new card as JSON."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            decision = parse_review_form(request.POST)
        except ValueError as error:
            if _wants_json(request):
                return HttpResponseBadRequest(str(error))
            messages.error(
                request, gettext("Nothing was changed: %(problem)s") % {"problem": error}
            )
            return self._back(request)
        following = self._following(request, decision.photos[0][0])
        photos = decision.apply(cast(User, request.user))
        return self._reviewed(request, photos[:1], decision.summary(photos), following)

    def undo(self, request: HttpRequest) -> HttpResponse:
        """Undo an administrator's own decision; return the list, or the photos' cards as JSON."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            decision = UUID(request.POST.get("decision", ""))
        except ValueError:
            return HttpResponseBadRequest(gettext("No decision was named. Reload the page."))
        undone, left = decision_undo(decision=decision, by=cast(User, request.user))
        said = gettext("Nothing was undone.")
        if undone:
            said = gettext("%(photos)s as before.") % {"photos": photo_count(len(undone))}
        if left:
            more = gettext("Left as they are, because they changed since: %(photos)s.")
            said += " " + more % {"photos": photo_count(len(left))}
        elif not undone:
            said += " " + gettext("It was undone before.")
        again = undone[0].pk if undone and "from_page" in request.POST else None
        return self._reviewed(request, undone, said, again)

    def _reviewed(
        self, request: HttpRequest, photos: list[Photo], said: str, following: int | None = None
    ) -> HttpResponse:
        """Return the next page with a message, or the new cards and what can be undone as JSON."""
        if not _wants_json(request):
            messages.success(request, said)
            return self._back(request, following)
        shown = photos_for_review().filter(pk__in=[photo.pk for photo in photos[:PER_PAGE]])
        query = request.POST.get("query", "")
        cards = [
            render_to_string(CARD, {"photo": photo, "query": query}, request) for photo in shown
        ]
        undo = last_decision(cast(User, request.user))
        listed = self._list(request)
        return JsonResponse(
            {
                "cards": cards,
                "said": said,
                "undo": undo and {"id": undo.id, "text": undo.text},
                "left": waiting_text(listed.result_count) if listed else "",
            }
        )

    def _back(self, request: HttpRequest, following: int | None = None) -> HttpResponse:
        """Return to the page of this site that the form names as `next`, else to the list.

        From a photo's own page, go on to the `following` photo.
        """
        page = request.POST.get("next", "")
        if page.startswith("/") and url_has_allowed_host_and_scheme(page, allowed_hosts=None):
            return redirect(page)
        query = request.POST.get("query", "")
        if following is not None:
            return redirect(page_of(following, query))
        url = reverse("admin:predictions_photo_changelist")
        return redirect(f"{url}?{query}" if query else url)

    def _list(self, request: HttpRequest) -> ChangeList | None:
        """Return the list whose query a form or an address names; None if there is no such list."""
        sent = request.POST.get("query", request.GET.get("_changelist_filters", ""))
        if not sent or b"\0" in unquote_to_bytes(sent):  # PostgreSQL cannot compare a NUL
            return None
        asked = copy(request)
        asked.GET = QueryDict(sent)
        try:
            return self.get_changelist_instance(asked)
        except IncorrectLookupParameters:
            return None

    def _following(self, request: HttpRequest, photo: Photo) -> int | None:
        """Return the photo to go on with after a decision on a photo's own page, if there is one.

        It is the next one of the list; after its last one, the first.
        """
        if "from_page" not in request.POST:
            return None
        listed = self._list(request)
        return None if listed is None else next_in(listed, photo.pk)

    def object_page(
        self, request: HttpRequest, object_id: str, context: dict[str, Any]
    ) -> HttpResponse:
        """Show the photo's own page: the photo enlarged, with every version's answer."""
        photo = self.get_object(request, object_id)
        listed = self._list(request)
        following = next_in(listed, photo.pk) if listed and photo else None
        query = request.GET.get("_changelist_filters", "")
        own = {
            "photo": photo,
            "title": gettext("Photo %(number)s") % {"number": object_id},
            "species": species_names(),
            "other_names": other_names(),
            "reviews": photo_reviews(photo) if photo else [],
            "undo": last_decision(cast(User, request.user)),
            "query": query,
            "left": waiting_text(listed.result_count) if listed else "",
            "next_url": following and page_of(following, query),
        }
        return super().object_page(request, object_id, own | context)

    def thumbnail(self, request: HttpRequest, photo_id: int) -> HttpResponse:
        return self._jpeg(request, photo_id, "thumbnail")

    def picture(self, request: HttpRequest, photo_id: int) -> HttpResponse:
        return self._jpeg(request, photo_id, "picture")

    def _jpeg(self, request: HttpRequest, photo_id: int, kind: str) -> HttpResponse:
        """Return a JPEG that a worker made from the pixels: Bob's browser gets no user's bytes."""
        if not self.has_view_permission(request):
            raise Http404
        photo = Photo.objects.exclude(file="").filter(pk=photo_id).first()
        if photo is None or not photo.file.storage.exists(str(photo.file.name)):
            raise Http404(f"Photo {photo_id} or its file does not exist.")
        data = picture_wait(photo=photo, kind=kind, timeout_s=PICTURE_WAIT_S)
        if data is None:
            return HttpResponse(
                gettext(
                    "The picture is not ready: the worker inference does not answer. Reload the "
                    "page later, or see ./champipy status."
                ),
                status=503,
                content_type="text/plain",
                headers={"Retry-After": "10", "Cache-Control": "no-store"},
            )
        headers = {"Cache-Control": "private, max-age=86400"}
        return HttpResponse(data, content_type="image/jpeg", headers=headers)


def _wants_json(request: HttpRequest) -> bool:
    return request.accepts("application/json") and not request.accepts("text/html")
