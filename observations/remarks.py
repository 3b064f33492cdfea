"""What people should know of an observation of Mushroom Observer, besides verdicts.

A remark is stored as a code with parameters, so that it can be told in any language.
"""

from typing import Any

from django.utils.translation import gettext, gettext_noop

from common.messages import fill

REMARKS = {
    "more_photos": gettext_noop(
        "It has %(count)d photos at Mushroom Observer; the first %(used)d are used."
    ),
    "no_names": gettext_noop("Nobody has proposed a name for it at Mushroom Observer yet."),
    "reserved_photos": gettext_noop(
        "%(count)d of its photos may not be shown to others: the owner does not allow it, or the "
        "licence is not known. No model is trained on them."
    ),
}
"""What each code says, with its parameters in %(…)s."""


def remark(code: str, **parameters: Any) -> dict[str, Any]:
    """Return a remark as it is stored. `code` is a key of REMARKS."""
    return {"code": code, "parameters": parameters}


def remark_sentence(stored: dict[str, Any]) -> str:
    """Return a remark as a sentence in the active language."""
    return fill(gettext(REMARKS[stored["code"]]), stored["parameters"])
