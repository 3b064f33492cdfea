"""Bob's admin: its sections in their order. The pages themselves belong to the apps.

A model that no section names appears behind "System", as what other packages bring along does.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import path
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise


@dataclass(frozen=True)
class Section:
    """A heading of the navigation, and the pages below it: models with the titles of their lists.

    A model is named as in `Model._meta.label_lower`.
    """

    title: "str | StrPromise"
    pages: dict[str, "str | StrPromise"]


SECTIONS = (
    Section(_("Review"), {"predictions.photo": _("Photos")}),
    Section(
        _("Training"),
        {
            "mlmodels.trainingrun": _("Training runs"),
            "supervision.evaluationset": _("Evaluation sets"),
        },
    ),
    Section(
        _("Versions"),
        {
            "mlmodels.modelversion": _("Model versions"),
            "supervision.evaluation": _("Evaluations"),
            "mlmodels.stagetransition": _("Promotions and rollbacks"),
        },
    ),
    Section(_("Alerts"), {"supervision.alert": _("Alerts")}),
    Section(_("People"), {"accounts.user": _("Users"), "accounts.token": _("Tokens")}),
    Section(
        _("What people ask"),
        {
            "predictions.prediction": _("Predictions"),
            "observations.observation": _("Observations"),
            "observations.queueentry": _("Queue of Mushroom Observer"),
            "observations.mushroomobserverwrite": _("Written at Mushroom Observer"),
        },
    ),
)
SYSTEM = Section(
    _("System"),
    {
        "mlmodels.species": _("Species"),
        "mlmodels.speciesname": _("Species names"),
        "observations.mushroomobserverimage": _("Images of Mushroom Observer"),
        "django_celery_beat.periodictask": _("Periodic tasks"),
        "django_celery_beat.intervalschedule": _("Intervals of tasks"),
        "django_celery_beat.crontabschedule": _("Crontabs of tasks"),
        "django_celery_beat.clockedschedule": _("Single times of tasks"),
        "django_celery_beat.solarschedule": _("Solar events of tasks"),
        "auth.group": _("Groups of users"),
        "axes.accessattempt": _("Failed logins that count for the lock"),
        "axes.accessfailurelog": _("Failed logins"),
        "axes.accesslog": _("Logins"),
    },
)
"""The last section, collapsed. Models that no section names follow these."""


class ChampiPyAdmin(admin.AdminSite):
    """The site behind `django.contrib.admin.site` (`admin_app.py`)."""

    site_header = site_title = "ChampiPy"
    index_title = _("Overview")
    # Not named admin/index.html: the index pages of single apps extend the template of that name.
    index_template = "admin/supervision/dashboard.html"
    enable_nav_sidebar = False  # templates/admin/base_site.html has its own

    def get_urls(self) -> list[Any]:
        """Return the site's addresses, those of the dashboard's tables first."""
        from supervision.monitoring.admin.dashboard import dashboard_table  # needs this site

        table = path(
            "tables/<slug:name>.csv", self.admin_view(dashboard_table), name="dashboard_table"
        )
        return [table, *super().get_urls()]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return the sections with the pages that the user may see; of one app Django's list.

        A section has what Django's templates expect of an app, and `is_system`.
        """
        if app_label is not None:
            return super().get_app_list(request, app_label)
        pages = {
            f"{app['app_label']}.{page['object_name'].lower()}": page
            for app in super().get_app_list(request)
            for page in app["models"]
        }
        sections = []
        for number, section in enumerate((*SECTIONS, SYSTEM)):
            shown = [
                pages.pop(model) | {"name": capfirst(title)}
                for model, title in section.pages.items()
                if model in pages
            ]
            is_system = section is SYSTEM
            if is_system:
                shown += pages.values()
            if shown:
                sections.append(
                    {
                        "name": section.title,
                        "app_label": f"section-{number}",
                        "app_url": "",
                        "has_module_perms": True,
                        "models": shown,
                        "is_system": is_system,
                    }
                )
        return sections
