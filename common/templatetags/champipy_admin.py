"""Template tags for the frame of the admin's pages: the navigation and the titles."""

from typing import Any

from django import template
from django.template import Context
from django.utils.text import capfirst
from django.utils.translation import gettext

from common.messages import Message

register = template.Library()


@register.simple_tag(takes_context=True)
def admin_sections(context: Context) -> list[dict[str, Any]]:
    """Return the sections of the navigation: `{% admin_sections as sections %}`.

    They are the site's `available_apps`, each with `is_current`, as each of its models has: whether
    the present page belongs to it.
    """
    path = context["request"].path
    sections = []
    for section in context.get("available_apps") or ():
        models = [
            page | {"is_current": bool(page["admin_url"]) and path.startswith(page["admin_url"])}
            for page in section["models"]
        ]
        is_current = any(page["is_current"] for page in models)
        sections.append(section | {"models": models, "is_current": is_current})
    return sections


@register.simple_tag(takes_context=True)
def list_title(context: Context) -> str:
    """Return what the navigation calls the list of the page's model, else Django's name of it."""
    opts = context["opts"]
    for section in context.get("available_apps") or ():
        for page in section["models"]:
            if page["model"]._meta.label_lower == opts.label_lower:
                return str(page["name"])
    return str(capfirst(opts.verbose_name_plural))


@register.simple_tag(takes_context=True)
def object_title(context: Context) -> str:
    """Return the title of the page of one row: what the row is called, with its kind.

    A title that a page chose itself stays, and so does that of a page for a new row.
    """
    title, opts, original = context.get("title", ""), context["opts"], context.get("original")
    kind = str(opts.verbose_name)
    chosen = {gettext("Change %s") % kind, gettext("View %s") % kind}  # by Django
    if original is None or str(title) not in chosen:
        return str(title)
    name = str(original)
    told = (
        name if name.startswith(kind) else str(Message("%(kind)s: %(name)s", kind=kind, name=name))
    )
    return str(capfirst(told))
