"""Admin page of observations; that of the queue is registered with it."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import floatformat
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, latin, time_text, with_listed_count
from common.paging import CappedPaginator
from common.wording import format_share
from mlmodels.names import InvalidName
from observations.models import MushroomObserverImage, MushroomObserverWrite, Observation
from observations.mushroom_observer.answers import attribution_text
from observations.queue import admin as queue
from observations.queue.admin import verdict_words
from observations.remarks import remark_sentence
from observations.selectors import named, species_and_key, told_observations
from predictions.verdicts import VERDICT_LABELS, verdict_sentence

__all__ = ["queue"]


class VerdictFilter(admin.SimpleListFilter):
    """Filters by the verdict that a proposed name has."""

    title = _("verdict")
    parameter_name = "verdict"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, Any]]:
        return list(VERDICT_LABELS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        verdict = self.value()
        return named(queryset, verdict=verdict) if verdict in VERDICT_LABELS else queryset


@admin.register(Observation)
class ObservationAdmin(ReadOnlyAdmin):
    list_display = (
        *("number", "user", "status", "best", "verdicts", "decision", "source", "asked_at"),
    )
    list_filter = ("status", VerdictFilter, "decision", "source")
    search_fields = ("id",)
    search_help_text = with_listed_count(
        _(
            "A proposed name (synonyms count), an id here or at Mushroom Observer, or a user. Of "
            "more than {count} observations the newest {count} are listed."
        )
    )
    fieldsets = (
        (_("Answer"), {"fields": ("pictures", "judged", "together", "failure")}),
        (_("Decision"), {"fields": ("user", "decision", "decision_name", "note", "decided_at")}),
        (
            _("Where it comes from"),
            {"fields": ("source", "page", "said_there", "settled_name", "read_at", "asked_at")},
        ),
        (_("Technical"), {"classes": ("collapse",), "fields": ("status", "error_code")}),
    )
    sortable_by = ()
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Observation]:
        return told_observations().select_related("user").order_by("-id")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        if not term or "\0" in term:
            return queryset, False
        if term.isascii() and term.isdecimal() and len(term) <= 18:
            return queryset.filter(Q(pk=term) | Q(mushroom_observer_id=term)), False
        try:
            of_name = named(queryset, key=species_and_key(term)[1])
        except InvalidName:
            of_name = queryset.none()
        return queryset.filter(user__username=term) | of_name, False

    def object_page(
        self, request: HttpRequest, object_id: str, context: dict[str, Any]
    ) -> HttpResponse:
        title = gettext("Observation %(number)s") % {"number": object_id}
        return super().object_page(request, object_id, {"title": title} | context)

    @admin.display(description=_("number"))
    def number(self, observation: Observation) -> str:
        return str(observation.pk)

    @admin.display(description=_("asked at"))
    def asked_at(self, observation: Observation) -> str:
        return time_text(observation.created_at)

    @admin.display(description=_("page"))
    def page(self, observation: Observation) -> str:
        if not observation.url:
            return ""
        return format_html('<a href="{0}" rel="noreferrer">{0}</a>', observation.url)

    @admin.display(description=_("failure"))
    def failure(self, observation: Observation) -> str:
        return str(observation.error_detail)

    @admin.display(description=_("answer"))
    def best(self, observation: Observation) -> str:
        if observation.answer is None:
            return str(observation.error_detail)
        best = observation.answer["predictions"][0]
        score = format_share(best["score"] / 100)
        text = format_html('<i lang="la">{}</i> {}', best["species"], score)
        if not _is_outside(observation.answer["scope"]):
            return text
        return format_html(gettext("none of its species; the likeliest: {}"), text)

    @admin.display(description=_("verdicts"))
    def verdicts(self, observation: Observation) -> str:
        return verdict_words(observation.names.all())

    @admin.display(description=_("verdicts"))
    def judged(self, observation: Observation) -> str:
        """Return each proposed name with its verdict in words, its score and the reason."""
        told = []
        for name in observation.names.all():
            score = "" if name.score is None else f" ({format_share(name.score / 100)})"
            reason = verdict_sentence(name.because) if name.because else ""
            label = VERDICT_LABELS[name.verdict] if name.verdict else gettext("not judged")
            told.append((name.verdict, name.name, label, score, reason))
        row = '<p class="verdict {}"><strong><i lang="la">{}</i>: {}</strong>{}<br>{}</p>'
        return format_html_join("", row, told)

    @admin.display(description=_("at Mushroom Observer"))
    def said_there(self, observation: Observation) -> str:
        """Return remarks, and the confidence and votes of the names there."""
        names = [name for name in observation.names.all() if name.naming_id is not None]
        told = [
            gettext("%(name)s: confidence %(confidence)s, votes %(votes)s")
            % {
                "name": name.name,
                "confidence": floatformat(name.confidence or 0, 2),
                "votes": ", ".join(f"{vote:g}" for vote in name.votes) or gettext("none"),
            }
            for name in names
        ]
        told += [remark_sentence(each) for each in observation.remarks]
        return format_html_join("", "<p>{}</p>", [(each,) for each in told])

    @admin.display(description=_("photos"))
    def pictures(self, observation: Observation) -> str:
        """Return the photos, each with a link to its prediction."""
        cells = []
        for photo in observation.photos.all():
            prediction = photo.prediction
            shown = prediction.error_detail or prediction.get_status_display()
            if prediction.inference is not None:
                thumbnail = reverse(
                    "admin:predictions_photo_thumbnail", args=[prediction.inference.photo_id]
                )
                best = prediction.inference.best(1)[0]
                alt = gettext("%(file)s: the best score has %(species)s, %(score)s %%") % {
                    "file": prediction.file,
                    "species": best[0],
                    "score": floatformat(best[1], 1),
                }
                shown = format_html('<img src="{}" alt="{}">', thumbnail, alt)
            link = reverse("admin:predictions_prediction_change", args=[prediction.pk])
            whose = ""
            if photo.image_id is not None:
                whose = f"{attribution_text(photo.year, photo.holder)}, {photo.licence}"
            cells.append((link, shown, whose))
        return format_html_join(" ", '<a href="{}">{}</a> {}', cells) or gettext(
            "All were deleted."
        )

    @admin.display(description=_("all photos together"))
    def together(self, observation: Observation) -> str:
        """Return a table of all species with their scores, the highest first."""
        if observation.answer is None:
            return ""
        scores = observation.answer["predictions"]
        scope, plausible = observation.answer["scope"], observation.answer["plausible"]
        parts = []
        if scope is not None:
            text = gettext("One of the known species with a probability of %(score)s %%.")
            told = text % {"score": number_format(scope["score"], 2)}
            if _is_outside(scope):
                outside = gettext("None of the species that the model knows.")
                told = f"{outside} {told}"
            parts.append(format_html("<p>{}</p>", told))
        row = '<tr><th scope="row"><i lang="la">{}</i></th><td>{} %</td></tr>'
        rows = ((each["species"], number_format(each["score"], 2)) for each in scores)
        parts.append(
            format_html("<table><tbody>{}</tbody></table>", format_html_join("", row, rows))
        )
        if plausible:
            text = gettext("Cannot be ruled out: %(species)s")
            parts.append(format_html("<p>{}</p>", text % {"species": ", ".join(plausible)}))
        return format_html_join("", "{}", ((part,) for part in parts))


@admin.register(MushroomObserverImage)
class MushroomObserverImageAdmin(ReadOnlyAdmin):
    list_display = ("image_id", "shown", "rounded", "licence", "gave_label")
    csv_columns = ("image_id", "species", "other_name", "confidence", "licence", "gave_label")
    list_filter = ("species", "ok_for_export", "gave_label")
    list_select_related = ("species",)
    search_fields = ("=image_id", "=observation_id")
    search_help_text = _("An id of an image or of an observation there")
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    @admin.display(description=_("confidence"), ordering="confidence")
    def rounded(self, image: MushroomObserverImage) -> str:
        return floatformat(image.confidence, 2)

    @admin.display(description=_("species"))
    def shown(self, image: MushroomObserverImage) -> str:
        return latin(image.species.name if image.species else image.other_name)


@admin.register(MushroomObserverWrite)
class MushroomObserverWriteAdmin(ReadOnlyAdmin):
    list_display = ("id", "user", "mushroom_observer_id", "kind", "written", "state", "created_at")
    csv_columns = (
        *("id", "user", "mushroom_observer_id", "kind", "content", "state", "created_at"),
    )
    list_filter = ("kind", "state")
    list_select_related = ("user",)
    search_fields = ("mushroom_observer_id", "user__username")
    search_help_text = _("A user, or the id of an observation at Mushroom Observer.")
    fields = (
        *("user", "observation", "mushroom_observer_id", "kind", "content", "state"),
        *("error_code", "error_detail", "answer", "site_user_id"),
        *("created_at", "sent_at", "looks", "finished_at"),
    )
    sortable_by = ()
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    @admin.display(description=_("content"))
    def written(self, write: MushroomObserverWrite) -> str:
        """Return what was written, on one line."""
        return "; ".join(f"{name}: {value}" for name, value in write.content.items())

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        if not term or "\0" in term:
            return queryset, False
        if term.isascii() and term.isdecimal() and len(term) <= 18:
            return queryset.filter(mushroom_observer_id=term), False
        return queryset.filter(user__username=term), False


def _is_outside(scope: dict | None) -> bool:
    return scope is not None and not scope["in_scope"]
