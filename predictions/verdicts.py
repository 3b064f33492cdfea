"""Verdicts on proposed names: what they are, and how they are told to people.

A verdict is stored with its reason as a code with parameters, so that it can be told in any
language.
"""

from typing import Any

from django.utils.translation import gettext, gettext_lazy, gettext_noop

from common.messages import fill
from mlmodels.ml.verdicts import VerdictRule, judge
from mlmodels.names import parse_name
from mlmodels.selectors import verdict_rule
from predictions.models import Inference

NOT_COVERED = "not_covered"
VERDICT_LABELS = {
    "supported": gettext_lazy("supported"),
    "contradicted": gettext_lazy("contradicted"),
    "undecided": gettext_lazy("undecided"),
    NOT_COVERED: gettext_lazy("cannot be judged"),
}
"""What people read."""
VERDICTS = tuple(VERDICT_LABELS)

REASONS = {
    "probable": gettext_noop(
        "%(species)s is right with a probability of %(score).2f %%: a name is supported from "
        "%(limit)g %% on."
    ),
    "improbable": gettext_noop(
        "%(species)s is right with a probability of only %(score).2f %%: a name is contradicted "
        "below %(limit)g %%."
    ),
    "other_species_likelier": gettext_noop(
        "%(best)s is likelier than %(species)s, which is right with a probability of only "
        "%(score).2f %%: a name is contradicted below %(limit)g %%."
    ),
    "none_of_the_species": gettext_noop(
        "This is none of the %(count)d species that %(model)s knows, and %(species)s is right with "
        "a probability of only %(score).2f %%: a name is contradicted below %(limit)g %%."
    ),
    "neither": gettext_noop(
        "%(species)s is right with a probability of %(score).2f %%: too little to support the name "
        "(%(supported_from)g %%), too much to contradict it (%(contradicted_below)g %%)."
    ),
    "none_but_not_contradicted": gettext_noop(
        "This seems to be none of the %(count)d species that %(model)s knows, which does not "
        "support %(species)s. The name is right with a probability of %(score).2f %%: too much to "
        "contradict it (%(contradicted_below)g %%)."
    ),
    "unknown_species": gettext_noop("%(model)s does not know this name, so it cannot judge it."),
    "genus_alone": gettext_noop("The name is that of no species. A genus alone is not judged."),
    "related_species": gettext_noop(
        "The name says that this is not the species that it mentions, only one close to it."
    ),
    "hybrid": gettext_noop("The name is that of a hybrid, and hybrids are not judged."),
    "several_names": gettext_noop("These are several names. Propose one of them."),
}
"""What each code says, with its parameters in %(…)s. Scores and limits are percentages."""


def verdict_on(*, proposed: str, species: str, inference: Inference) -> dict[str, Any] | None:
    """Return the verdict on a proposed name: `verdict`, `score` and `because`.

    `species` is the species of that name, or "" if there is none; `inference` is that of a photo,
    or one that tells of several photos together. `score` is the probability that the name is right,
    in percent, or None if the name is not covered; it counts in that eight of ten proposed names
    are right. `because` has a code of REASONS and its parameters.
    Returns None if the name is covered, and the version's card has no rule for it.
    """
    version = inference.model_version
    if species not in version.labels:
        code: str = parse_name(proposed).obstacle or "unknown_species"
        parameters = {"model": str(version)} if code == "unknown_species" else {}
        return _verdict(NOT_COVERED, None, code, parameters)
    rule = verdict_rule(version)
    if rule is None or inference.name_scores is None:
        return None
    score = dict(zip(version.labels, inference.name_scores, strict=True))[species]
    # Rounded, so that a score that people see as equal to a limit is equal to it.
    judgement = judge(round(score / 100, 6), rule, is_in_scope=inference.in_scope is not False)
    code, parameters = _reason(judgement, species, inference, rule)
    return _verdict(judgement, score, code, {"species": species, "score": score, **parameters})


def verdict_sentence(because: dict[str, Any]) -> str:
    """Return the reason of a verdict as a sentence in the active language."""
    return fill(gettext(REASONS[because["code"]]), because["parameters"])


def _reason(
    judgement: str, species: str, inference: Inference, rule: VerdictRule
) -> tuple[str, dict[str, Any]]:
    supported_from, contradicted_below = 100 * rule.supported_from, 100 * rule.contradicted_below
    version = inference.model_version
    none = {"count": len(version.labels), "model": str(version)}
    if judgement == "supported":
        return "probable", {"limit": supported_from}
    if judgement == "undecided" and inference.in_scope is False:
        return "none_but_not_contradicted", none | {"contradicted_below": contradicted_below}
    if judgement == "undecided":
        return "neither", {
            "supported_from": supported_from,
            "contradicted_below": contradicted_below,
        }
    if inference.in_scope is False:
        return "none_of_the_species", none | {"limit": contradicted_below}
    if inference.best_species == species:
        return "improbable", {"limit": contradicted_below}
    return "other_species_likelier", {"limit": contradicted_below, "best": inference.best_species}


def _verdict(
    verdict: str, score: float | None, code: str, parameters: dict[str, Any]
) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "score": score,
        "because": {"code": code, "parameters": parameters},
    }
