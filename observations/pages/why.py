"""Why an answer is as it is: evidence on the photo, similar confirmed photos, look-alikes."""

from typing import Any, cast

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from accounts.models import User
from mlmodels.models import Species
from mlmodels.species_selectors import species_called
from observations.models import Observation, ObservationPhoto
from observations.pages.access import piece_or_page, visible_find
from predictions.api.similar import SimilarQuery
from predictions.api.waiting import waiting_places
from predictions.embedding_services import embedding_wait
from predictions.models import Inference, Photo
from predictions.similar_selectors import similar_photos
from predictions.vector_services import has_vectors

SIMILAR = 4
"""Similar photos that are shown of a name."""
WAIT_S = 8.0
"""How long a request waits for the photo to be embedded."""
MAX_ASKS = 4
"""How often the page asks by itself for similar photos that are not ready."""
MAX_CONFUSED = 3


@login_required
@require_safe
def why(request: HttpRequest, number: str) -> HttpResponse:
    """Show where on a photo the evidence for a species is, and what else helps to compare.

    `photo` is a prediction of the find, `species` and `against` are names that its version knows;
    what is missing or unknown is chosen here.
    """
    observation = visible_find(request, number)
    photos = [each for each in observation.photos.all() if is_explainable(each)]
    context: dict[str, Any] = {
        "observation": observation,
        "title": gettext("Why? Find %(number)s") % {"number": observation.pk},
        "photos": photos,
    }
    if photos:
        asked = request.GET.get("photo", "")
        photo = next((each for each in photos if str(each.prediction_id) == asked), photos[0])
        context |= _explained(observation, photo, request)
    return piece_or_page(request, "observations/why.html", context)


@login_required
@require_safe
def similar(request: HttpRequest, number: str, prediction: str) -> HttpResponse:
    """Show confirmed photos of a name (`species`) that are the most similar to a photo of a find.

    `asks` says how often the page has asked already.
    """
    observation = visible_find(request, number)
    of_find = (each for each in observation.photos.all() if str(each.prediction_id) == prediction)
    found = next(of_find, None)
    if found is None or found.prediction.inference is None:
        raise Http404
    name = request.GET.get("species", "")
    asks = request.GET.get("asks", "")
    context = {
        "observation": observation,
        "title": gettext("Similar photos. Find %(number)s") % {"number": observation.pk},
        "photo": found,
        "name": name[:100],
        "asks": int(asks) + 1 if asks.isascii() and asks.isdecimal() and len(asks) < 3 else 1,
        "max_asks": MAX_ASKS,
        **_similar(cast(User, request.user), found.prediction.inference.photo, name),
    }
    return piece_or_page(request, "observations/similar.html", context)


def is_explainable(photo: ObservationPhoto) -> bool:
    """Return whether the evidence on a photo can be shown: it is answered, stored, and may be."""
    inference = photo.prediction.inference
    if inference is None or not photo.is_usable:
        return False
    return bool(inference.photo.file) and not inference.photo.is_reserved


def _explained(
    observation: Observation, photo: ObservationPhoto, request: HttpRequest
) -> dict[str, Any]:
    inference = cast(Inference, photo.prediction.inference)
    ranked = inference.best(len(inference.model_version.labels))
    labels = dict(ranked)
    best = observation.answer["predictions"][0]["species"] if observation.answer else ranked[0][0]
    proposed = [name.species or name.name for name in observation.names.all()]
    known = [name for name in proposed if name in labels]
    wanted = request.GET.get("species")
    species = _label(wanted, labels) or next(iter(known), best if best in labels else ranked[0][0])
    against = _label(request.GET.get("against"), labels)
    if wanted is None and species != best and best in labels:
        against = best  # why the name that is proposed, rather than the best one
    compared = list(dict.fromkeys([species, *proposed, best]))
    return {
        "photo": photo,
        "ranked": ranked,
        "species": species,
        "against": against if against != species else None,
        "compared": compared,
        "look_alikes": Species.objects.filter(name__in=compared).exclude(look_alikes=""),
        "confused": _confused(inference, species),
    }


def _label(name: str | None, labels: dict[str, float]) -> str | None:
    """Return the label that `name` (a synonym, too) stands for, or None if there is none."""
    if not name or name in labels:
        return name or None
    species = species_called(name)
    return species.name if species is not None and species.name in labels else None


def _confused(inference: Inference, species: str) -> list[dict[str, Any]]:
    """Return of which other species the version called most evaluation photos `species`."""
    version = inference.model_version
    matrix = (version.metrics.get("evaluation") or {}).get("confusion")
    if not matrix or len(matrix) != len(version.labels):
        return []
    column = version.labels.index(species)
    mistaken = [
        {"species": name, "count": row[column], "of": sum(row)}
        for name, row in zip(version.labels, matrix, strict=True)
        if name != species and row[column]
    ]
    return sorted(mistaken, key=lambda each: -each["count"] / each["of"])[:MAX_CONFUSED]


def _similar(user: User, photo: Photo, name: str) -> dict[str, Any]:
    """Return the similar photos of a name as `found`; or why there are none as `state`."""
    query = SimilarQuery(data={"species": name})
    if not query.is_valid():
        return {"state": "none"}
    if not photo.file:
        return {"state": "gone"}
    if not has_vectors():
        return {"state": "unavailable"}
    with waiting_places.taken_by(user.pk) as may_wait:
        numbers = embedding_wait(photo=photo, timeout_s=WAIT_S if may_wait else 0)
    if numbers is None:
        return {"state": "pending"}
    label = query.validated_data["species"]
    found = similar_photos(photo=photo, numbers=numbers, label=label, count=SIMILAR)
    return {"state": "found" if found else "none", "found": found}
