"""What the community of Mushroom Observer has settled, and the labels that photos get from it."""

from collections.abc import Mapping

from django.conf import settings

from mlmodels.models import Species
from mlmodels.names import InvalidName, parse_name
from observations.models import Observation, ObservationPhoto
from observations.mushroom_observer import answers
from observations.mushroom_observer.references import image_page_url
from observations.mushroom_observer.species import NameMeaning
from predictions.community_services import photo_attribute, photo_label_by_community
from predictions.labels import Label, other_species
from predictions.licences import Attribution, licence_url
from predictions.models import Inference, Photo


def settled_name(
    there: answers.Observation, meanings: Mapping[int, NameMeaning]
) -> answers.Name | None:
    """Return the name on which the community agrees, or None.

    That is the consensus, if its confidence is at least CHAMPIPY_SETTLED_CONFIDENCE, and if nobody
    votes against it by CHAMPIPY_CONTRARY_VOTE or more: nobody doubts it as much, and nobody is as
    much for another name without being as much for this one. Synonyms and the genus alone are no
    other names.
    """
    consensus, limit = there.consensus, settings.CHAMPIPY_CONTRARY_VOTE
    if consensus is None or (there.confidence or 0) < settings.CHAMPIPY_SETTLED_CONFIDENCE:
        return None
    same = [naming for naming in there.namings if _is_same(naming.name, consensus, meanings)]
    if any(vote.value <= -limit for naming in same for vote in naming.votes):
        return None
    own: dict[int, float] = {}
    for vote in (vote for naming in same for vote in naming.votes):
        if vote.user.id is not None:
            own[vote.user.id] = max(vote.value, own.get(vote.user.id, vote.value))
    for naming in there.namings:
        if naming in same or naming.name.text == consensus.text.partition(" ")[0]:
            continue
        for vote in naming.votes:
            if vote.value >= limit and own.get(vote.user.id or 0, -4.0) < vote.value:
                return None
    return consensus


def _is_same(
    name: answers.Name, consensus: answers.Name, meanings: Mapping[int, NameMeaning]
) -> bool:
    if name.id == consensus.id:
        return True
    if name.synonym_id is not None and name.synonym_id == consensus.synonym_id:
        return True
    species = [meanings[each.id].species for each in (name, consensus) if each.id in meanings]
    return len(species) == 2 and species[0] == species[1] != ""


def photo_credit(of_it: ObservationPhoto, photo: Photo) -> None:
    """Keep with a photo whose it is, as Mushroom Observer says. Call it in a transaction."""
    attribution = Attribution(
        author=of_it.holder,
        licence=licence_url(of_it.licence) if of_it.is_usable else "",
        source=image_page_url(of_it.image_id or 0),
    )
    photo_attribute(photo=photo, attribution=attribution, is_reserved=not of_it.is_usable)


def photo_settle(observation: Observation, photo: Photo, inference: Inference) -> None:
    """Give a photo of an observation the label that is settled, or withdraw one that was.

    A photo that the model finds out of scope does not become one of a species: it may show spores,
    or the wood beside the find.
    """
    label = _settled_label(observation)
    if photo.is_reserved or (isinstance(label, Species) and inference.in_scope is False):
        label = None
    photo_label_by_community(photo=photo, label=label)


def _settled_label(observation: Observation) -> Label | None:
    """Return the label of what is settled; None if nothing is, or the name is that of no species.

    Nor is a name that means another species here than at the site.
    """
    if observation.settled_species:
        return Species.objects.filter(name=observation.settled_species).first()
    name = observation.settled_name
    try:
        is_of_a_species = bool(name) and parse_name(name).species is not None
        return other_species(name) if is_of_a_species else None
    except (InvalidName, ValueError):
        return None
