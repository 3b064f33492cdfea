"""Template tag for the way back to Mushroom Observer."""

from typing import Any

from django import template
from django.template import Context

from mlmodels.species_selectors import accepted_names
from observations.comment_drafts import comment_draft
from observations.links import links_of
from observations.models import MushroomObserverKey, Observation
from observations.selectors import best_known_species, likely_name
from observations.write_selectors import seen_of, writes_visible_to

register = template.Library()

MAX_WRITES = 5
"""Of what a user wrote on a find, so many are listed, the last ones."""


@register.inclusion_tag("observations/site_forms.html", takes_context=True)
def site_forms(context: Context, observation: Observation) -> dict[str, Any]:
    """Show links to Mushroom Observer's own forms and, with the user's key, forms that write there.

    `observation` is an answered one of Mushroom Observer, one of `told_observations`.
    """
    user = context["user"]
    keys = MushroomObserverKey.objects.filter(user=user).exclude(ciphertext="")
    accepted = accepted_names()
    best = best_known_species(observation)
    writes = writes_visible_to(user).filter(user=user, observation=observation)
    return {
        "observation": observation,
        "names": observation.names.all(),
        "chosen": likely_name(observation),
        "best": accepted.get(best, best),
        "links": links_of(observation, accepted),
        "seen": seen_of(observation),
        "draft": comment_draft(observation),
        "has_key": keys.exists(),
        "writes": writes[:MAX_WRITES],
    }
