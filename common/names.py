"""The names of models and of their fields, translated.

Django names a field after its attribute, `created_at` "created at", and a model after its class.
Admin pages show these names as headings. Here they are marked for translation all in one place,
instead of in each model.
"""

from collections.abc import Iterable

from django.db.models import Model
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop, pgettext_lazy

FIELD_NAMES = (
    gettext_noop("ID"),
    gettext_noop("acknowledged at"),
    gettext_noop("acknowledged by"),
    gettext_noop("all rights reserved"),
    gettext_noop("answer"),
    gettext_noop("attempts"),
    gettext_noop("author"),
    gettext_noop("by"),
    gettext_noop("bytes"),
    gettext_noop("changed at"),
    gettext_noop("channel"),
    gettext_noop("confidence"),
    gettext_noop("content"),
    gettext_noop("created at"),
    gettext_noop("decided at"),
    gettext_noop("decision"),
    gettext_noop("decision name"),
    gettext_noop("detail"),
    gettext_noop("error"),
    gettext_noop("error code"),
    gettext_noop("error detail"),
    gettext_noop("evaluated at"),
    gettext_noop("evaluation set"),
    gettext_noop("excluded"),
    gettext_noop("failures"),
    gettext_noop("file"),
    gettext_noop("finished at"),
    gettext_noop("gave label"),
    gettext_noop("height"),
    gettext_noop("holder"),
    gettext_noop("image id"),
    gettext_noop("input size"),
    gettext_noop("is imported"),
    gettext_noop("is to read"),
    gettext_noop("kind"),
    gettext_noop("label"),
    gettext_noop("label source"),
    gettext_noop("language"),
    gettext_noop("leased to"),
    gettext_noop("leased until"),
    gettext_noop("licence"),
    gettext_noop("looks"),
    gettext_noop("measured at"),
    gettext_noop("model version"),
    gettext_noop("name"),
    gettext_noop("name of the other species"),
    gettext_noop("nb preds"),
    gettext_noop("next attempt at"),
    gettext_noop("note"),
    gettext_noop("observation"),
    gettext_noop("observation id"),
    gettext_noop("ok for export"),
    gettext_noop("origin"),
    gettext_noop("other name"),
    gettext_noop("other species"),
    gettext_noop("parent"),
    gettext_noop("photos"),
    gettext_noop("preprocessing"),
    gettext_noop("proposed"),
    gettext_noop("read at"),
    gettext_noop("reason"),
    gettext_noop("refused"),
    gettext_noop("request id"),
    gettext_noop("requested by"),
    gettext_noop("resolved at"),
    gettext_noop("reused"),
    gettext_noop("reviewed at"),
    gettext_noop("reviewed by"),
    gettext_noop("run"),
    gettext_noop("sent at"),
    gettext_noop("settled name"),
    gettext_noop("since"),
    gettext_noop("site user id"),
    gettext_noop("skipped by"),
    gettext_noop("source"),
    gettext_noop("species"),
    gettext_noop("split"),
    gettext_noop("split at"),
    gettext_noop("stage"),
    gettext_noop("state"),
    gettext_noop("status"),
    gettext_noop("temperature"),
    gettext_noop("to stage"),
    gettext_noop("user"),
    gettext_noop("version"),
    gettext_noop("width"),
)
"""Those that pages show. Django translates the names of its own models' fields itself."""
BETTER_NAMES = {
    "look alikes": gettext_noop("look-alikes"),
    "mushroom observer id": gettext_noop("Mushroom Observer id"),
    "sha256": gettext_noop("SHA-256"),
}
"""Names that Django makes wrongly, and what stands in their place."""
MODEL_NAMES = {
    "accounts.idempotencykey": (_("idempotency key"), _("idempotency keys")),
    "accounts.tokendetails": (_("details of a token"), _("details of tokens")),
    "accounts.user": (_("user"), _("users")),
    "knox.authtoken": (_("token"), _("tokens")),
    "mlmodels.modelversion": (_("model version"), _("model versions")),
    "mlmodels.species": (_("species"), pgettext_lazy("plural", "species")),
    "mlmodels.speciesname": (_("species name"), _("species names")),
    "mlmodels.stagetransition": (_("change of stage"), _("changes of stages")),
    "mlmodels.trainingrun": (_("training run"), _("training runs")),
    "observations.mushroomobserverimage": (
        _("image of Mushroom Observer"),
        _("images of Mushroom Observer"),
    ),
    "observations.mushroomobserverkey": (
        _("key of Mushroom Observer"),
        _("keys of Mushroom Observer"),
    ),
    "observations.mushroomobserverwrite": (
        _("text or vote at Mushroom Observer"),
        _("texts and votes at Mushroom Observer"),
    ),
    "observations.namebelowspecies": (_("name below species"), _("names below species")),
    "observations.observation": (_("observation"), _("observations")),
    "observations.observationphoto": (
        _("photo of an observation"),
        _("photos of observations"),
    ),
    "observations.proposedname": (_("proposed name"), _("proposed names")),
    "observations.queueentry": (_("find in the queue"), _("finds in the queue")),
    "observations.queuepoll": (_("poll of Mushroom Observer"), _("polls of Mushroom Observer")),
    "predictions.feedback": (_("feedback"), pgettext_lazy("plural", "feedback")),
    "predictions.inference": (_("inference"), _("inferences")),
    "predictions.photo": (_("photo"), _("photos")),
    "predictions.photoembedding": (_("embedding of a photo"), _("embeddings of photos")),
    "predictions.photosource": (_("source of a photo"), _("sources of photos")),
    "predictions.prediction": (_("prediction"), _("predictions")),
    "predictions.shadow": (_("shadow"), _("shadows")),
    "supervision.alert": (_("alert"), _("alerts")),
    "supervision.alertmessage": (_("message about an alert"), _("messages about alerts")),
    "supervision.check": (_("check"), _("checks")),
    "supervision.disagreement": (_("disagreement of versions"), _("disagreements of versions")),
    "supervision.evaluation": (_("evaluation"), _("evaluations")),
    "supervision.evaluationanswer": (
        _("answer of an evaluation"),
        _("answers of evaluations"),
    ),
    "supervision.evaluationother": (
        _("answer to a photo of another species"),
        _("answers to photos of other species"),
    ),
    "supervision.evaluationset": (_("evaluation set"), _("evaluation sets")),
    "supervision.labeldoubt": (_("doubt of a label"), _("doubts of labels")),
    "supervision.photoreview": (_("review of a photo"), _("reviews of photos")),
    "supervision.summary": (_("summary"), _("summaries")),
}
"""Of each model what one row and several are called. Django translates its own models itself."""


def translate_names(models: Iterable[type[Model]]) -> None:
    """Have these models and their fields named in the active language.

    Migrations stay as they are.
    """
    for model in models:
        for field in (*model._meta.fields, *model._meta.many_to_many):
            name = str(field.verbose_name)
            name = BETTER_NAMES.get(name, name)
            if name in FIELD_NAMES or name in BETTER_NAMES.values():
                field.verbose_name = _(name)
        if names := MODEL_NAMES.get(model._meta.label_lower):
            model._meta.verbose_name, model._meta.verbose_name_plural = names
