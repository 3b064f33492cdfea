"""Admin page of observations; that of the queue is registered with it."""

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from common.admin import ReadOnlyAdmin
from common.paging import MAX_COUNTED, CappedPaginator
from mlmodels.names import InvalidName
from observations.models import MushroomObserverImage, MushroomObserverWrite, Observation
from observations.mushroom_observer.answers import attribution_text
from observations.queue import admin as queue
from observations.remarks import remark_sentence
from observations.selectors import named, species_and_key, told_observations
from predictions.verdicts import VERDICTS, verdict_sentence

__all__ = ["queue"]


class VerdictFilter(admin.SimpleListFilter):
    """Filters by the verdict that a proposed name has."""

    title = "verdict"
    parameter_name = "verdict"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [(verdict, verdict) for verdict in VERDICTS]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        verdict = self.value()
        return named(queryset, verdict=verdict) if verdict in VERDICTS else queryset


@admin.register(Observation)
class ObservationAdmin(ReadOnlyAdmin):
    list_display = ("id", "user", "status", "best", "verdicts", "decision", "source", "created_at")
    list_filter = ("status", VerdictFilter, "decision", "source")
    search_fields = ("id",)
    search_help_text = (
        "A proposed name (synonyms count), an id here or at Mushroom Observer, or a user. "
        f"Of more than {MAX_COUNTED:,} observations the newest {MAX_COUNTED:,} are listed."
    )
    fields = (
        *("user", "status", "error_code", "error_detail", "source", "mushroom_observer_id", "url"),
        *("read_at", "said_there", "settled_name"),
        *("pictures", "together", "verdicts", "reasons"),
        *("decision", "decision_name", "note", "decided_at", "created_at"),
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

    @admin.display(description="answer")
    def best(self, observation: Observation) -> str:
        if observation.answer is None:
            return observation.error_code
        [best, *_] = observation.answer["predictions"]
        scope = observation.answer["scope"]
        text = f"{best['species']} {best['score']:.2f} %"
        return f"none of its species; the likeliest: {text}" if _is_outside(scope) else text

    @admin.display(description="verdicts")
    def verdicts(self, observation: Observation) -> str:
        return "; ".join(
            f"{name.name}: {name.verdict}" if name.verdict else name.name
            for name in observation.names.all()
        )

    @admin.display(description="at Mushroom Observer")
    def said_there(self, observation: Observation) -> str:
        """Return remarks, and the confidence and votes of the names there."""
        names = [name for name in observation.names.all() if name.naming_id is not None]
        told = [
            f"{name.name}: confidence {name.confidence or 0:.2f}, "
            f"votes {', '.join(f'{vote:g}' for vote in name.votes) or 'none'}"
            for name in names
        ]
        told += [remark_sentence(each) for each in observation.remarks]
        return format_html_join("", "<p>{}</p>", [(each,) for each in told])

    @admin.display(description="reasons")
    def reasons(self, observation: Observation) -> str:
        names = observation.names.all()
        told = [(name.name, verdict_sentence(name.because)) for name in names if name.because]
        return format_html_join("", "<p>{}: {}</p>", told)

    @admin.display(description="photos")
    def pictures(self, observation: Observation) -> str:
        """Return the photos, each with a link to its prediction."""
        cells = []
        for photo in observation.photos.all():
            prediction = photo.prediction
            shown = prediction.error_code or prediction.status
            if prediction.inference is not None:
                thumbnail = reverse(
                    "admin:predictions_photo_thumbnail", args=[prediction.inference.photo_id]
                )
                shown = format_html('<img src="{}" alt="{}">', thumbnail, prediction.file)
            link = reverse("admin:predictions_prediction_change", args=[prediction.pk])
            whose = ""
            if photo.image_id is not None:
                whose = f"{attribution_text(photo.year, photo.holder)}, {photo.licence}"
            cells.append((link, shown, whose))
        return format_html_join(" ", '<a href="{}">{}</a> {}', cells) or "All were deleted."

    @admin.display(description="all photos together")
    def together(self, observation: Observation) -> str:
        """Return a table of all species with their scores, the highest first."""
        if observation.answer is None:
            return ""
        scores = observation.answer["predictions"]
        scope, plausible = observation.answer["scope"], observation.answer["plausible"]
        return format_html(
            "{}<table><tbody>{}</tbody></table>{}",
            f"None of the species: {scope['score']:.2f} % that it is one of them."
            if _is_outside(scope)
            else "",
            format_html_join(
                "",
                "<tr><th><i>{}</i></th><td>{} %</td></tr>",
                ((row["species"], f"{row['score']:.2f}") for row in scores),
            ),
            format_html("<p>Cannot be ruled out: {}</p>", ", ".join(plausible))
            if plausible
            else "",
        )


@admin.register(MushroomObserverImage)
class MushroomObserverImageAdmin(ReadOnlyAdmin):
    list_display = ("image_id", "species", "other_name", "confidence", "licence", "gave_label")
    list_filter = ("species", "ok_for_export", "gave_label")
    list_select_related = ("species",)
    search_fields = ("=image_id", "=observation_id")
    search_help_text = "An id of an image or of an observation there"
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER


@admin.register(MushroomObserverWrite)
class MushroomObserverWriteAdmin(ReadOnlyAdmin):
    list_display = ("id", "user", "mushroom_observer_id", "kind", "content", "state", "created_at")
    list_filter = ("kind", "state")
    list_select_related = ("user",)
    search_fields = ("mushroom_observer_id", "user__username")
    search_help_text = "A user, or the id of an observation at Mushroom Observer."
    fields = (
        *("user", "observation", "mushroom_observer_id", "kind", "content", "state"),
        *("error_code", "error_detail", "answer", "site_user_id"),
        *("created_at", "sent_at", "looks", "finished_at"),
    )
    sortable_by = ()
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

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
