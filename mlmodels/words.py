"""Parameters of trainings, states of trials and poolings, as people read them."""

from django.utils.translation import gettext, gettext_noop

from common.messages import Message, Text
from mlmodels.ml.layers import Pooling

PARAMETERS = {
    name.replace(" ", "_"): name
    for name in (
        gettext_noop("accuracy"),
        gettext_noop("averaging"),
        gettext_noop("batch size"),
        gettext_noop("best epoch"),
        gettext_noop("blocks"),
        gettext_noop("centre"),
        gettext_noop("changed layers"),
        gettext_noop("dataset"),
        gettext_noop("dropout"),
        gettext_noop("epochs"),
        gettext_noop("head regularisation"),
        gettext_noop("input size"),
        gettext_noop("kind"),
        gettext_noop("label smoothing"),
        gettext_noop("learning rate"),
        gettext_noop("minutes"),
        gettext_noop("mixup"),
        gettext_noop("other photos"),
        gettext_noop("out of time"),
        gettext_noop("parent"),
        gettext_noop("pooling"),
        gettext_noop("preprocessing"),
        gettext_noop("refitted"),
        gettext_noop("second order"),
        gettext_noop("second order blocks"),
        gettext_noop("seconds"),
        gettext_noop("seed"),
        gettext_noop("state"),
        gettext_noop("temperature"),
        gettext_noop("temperature ratio"),
        gettext_noop("training photos"),
        gettext_noop("trial"),
        gettext_noop("trials"),
        gettext_noop("validation photos"),
        gettext_noop("variables"),
        gettext_noop("views"),
        gettext_noop("weight decay"),
    )
} | {"nll": gettext_noop("negative log-likelihood")}
"""Names of parameters and of columns of trials; the keys are those of the API."""
STATES = {
    "complete": gettext_noop("completed"),
    "pruned": gettext_noop("stopped early"),
    "out of time": gettext_noop("out of time"),
}
"""States of trials (`mlmodels.ml.search.Trial.state`)."""


def parameter_name(name: str) -> str:
    """Return a parameter's name as people read it: "learning rate" for `learning_rate`."""
    return gettext(PARAMETERS[name]) if name in PARAMETERS else name.replace("_", " ")


def state_name(state: str) -> str:
    """Return the state of a trial as people read it."""
    return gettext(STATES[state]) if state in STATES else state


def pooling_text(pooling: Pooling) -> str:
    """Return what a pooling takes, in the active language: `str` of it is English, for cards."""
    if pooling.is_average:
        return str(Message("average of block %(block)d", block=5))
    text: Text = Message("statistics of %(blocks)s", blocks=_block_names(pooling.blocks))
    if pooling.projected:
        text = Message(
            "%(before)s; second order of %(blocks)s in %(dimensions)d",
            before=text,
            blocks=_block_names(pooling.projected),
            dimensions=pooling.second_order,
        )
    if pooling.centre:
        text = Message("%(before)s; the middle counts more", before=text)
    return str(text)


def _block_names(blocks: tuple[int, ...]) -> Text:
    *others, last = blocks
    if not others:
        return Message("block %(last)d", last=last)
    return Message("blocks %(others)s and %(last)d", others=", ".join(map(str, others)), last=last)
