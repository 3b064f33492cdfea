"""The names of models' fields, translated.

Django names a field after its attribute: `created_at` is "created at". Admin pages show these names
as headings. Here they are marked for translation all in one place, instead of in each field.
"""

from collections.abc import Iterable

from django.db.models import Model
from django.utils.translation import gettext_lazy, gettext_noop

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
    gettext_noop("look alikes"),
    gettext_noop("looks"),
    gettext_noop("measured at"),
    gettext_noop("model version"),
    gettext_noop("mushroom observer id"),
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
    gettext_noop("sha256"),
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


def translate_field_names(models: Iterable[type[Model]]) -> None:
    """Have the fields of these models named in the active language. Migrations stay as they are."""
    for model in models:
        for field in model._meta.fields:
            if str(field.verbose_name) in FIELD_NAMES:
                field.verbose_name = gettext_lazy(str(field.verbose_name))
