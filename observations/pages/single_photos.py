"""The history of single photos: what a user asked through the API without making a find of it."""

from typing import Any, cast

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.db.models.fields.json import KT
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_POST, require_safe
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from accounts.models import User
from mlmodels.names import MAX_NAME_LENGTH
from observations.api.serializers import ProposedNameField
from observations.pages.history import chosen_delete, chosen_numbers, page_context
from observations.selectors import predictions_alone, species_and_key
from predictions.api.filters import filtered, rows_to_search
from predictions.api.spreadsheets import csv_of
from predictions.deletion_services import prediction_delete
from predictions.models import Prediction
from predictions.verdicts import VERDICT_LABELS, VERDICTS


class JudgedFilters(serializers.Serializer):
    """Filters by the name that was proposed. Those of `GET /predictions` are there as well."""

    verdict = serializers.ChoiceField(VERDICTS, required=False)
    proposed = ProposedNameField(required=False, max_length=MAX_NAME_LENGTH)


@login_required
@require_safe
def photos(request: HttpRequest) -> HttpResponse:
    """List the user's predictions that belong to no find, newest first, a page at a time."""
    chosen, errors = _chosen(request)
    own = Prediction.objects.filter(user=cast(User, request.user))
    searched = None if errors else rows_to_search(own, _given(request))
    context = {
        **page_context(request, chosen.select_related("inference__photo"), searched),
        "errors": errors,
        "verdicts": VERDICT_LABELS.items(),
        "statuses": [(value, capfirst(text)) for value, text in Prediction.Status.choices],
    }
    status = 400 if errors else 200
    return render(request, "observations/history_photos.html", context, status=status)


@login_required
@require_safe
def photos_csv(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Return what the list shows, without its pages, as CSV."""
    chosen, errors = _chosen(request)
    return photos(request) if errors else csv_of(chosen)


@login_required
@require_POST
def photos_delete(request: HttpRequest) -> HttpResponse:
    """Delete the predictions that were chosen, once the user has confirmed it."""
    own = predictions_alone(cast(User, request.user))
    chosen = own.filter(pk__in=chosen_numbers(request, "photo"))
    return chosen_delete(
        request,
        chosen,
        lambda prediction: prediction_delete(prediction=prediction),
        page="observations/history_photos_delete.html",
        none=gettext("Nothing was deleted: no photo of yours was chosen."),
        done=lambda n: ngettext(
            "%(count)d photo was deleted.", "%(count)d photos were deleted.", n
        ),
        back="single-photos",
    )


def _chosen(request: HttpRequest) -> tuple[QuerySet[Prediction], dict[str, Any]]:
    """Return the user's predictions that the filters choose, and what is wrong with the filters."""
    own = predictions_alone(cast(User, request.user))
    query = _given(request)
    judged = JudgedFilters(data=query)
    try:
        judged.is_valid(raise_exception=True)
        return _judged(filtered(own, query), judged.validated_data), {}
    except ValidationError as error:
        return own.none(), cast(dict[str, Any], error.detail)


def _given(request: HttpRequest) -> dict[str, str]:
    return {name: str(text) for name, text in request.GET.items() if text}


def _judged(predictions: QuerySet[Prediction], asked: dict[str, str]) -> QuerySet[Prediction]:
    """Return those with this verdict on a proposed name, and with this name (synonyms count)."""
    if not asked:
        return predictions
    judged = predictions.exclude(proposed="")  # as the indexes have it
    if verdict := asked.get("verdict"):
        judged = judged.alias(word=KT("verdict__verdict")).filter(word=verdict)
    if name := asked.get("proposed"):
        species, _key = species_and_key(name)
        judged = judged.filter(proposed_species=species)
        if not species:
            judged = judged.filter(proposed__iexact=name)
    return judged
