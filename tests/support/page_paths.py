"""The paths of all pages, for tests that look at each of them."""

import json

from tests.support.stack import Stack

OPEN_PAGES = ("/login",)
VERIFIERS_PAGES = ("/", "/queue", "/finds", "/account")
"""Pages that every user has. `paths_of_finds` adds one for each find."""
OWN_ADMIN_PAGES = (
    "/admin/",
    "/admin/password_change/",
    "/admin/mlmodels/trainingrun/start/train",
    "/admin/mlmodels/trainingrun/start/finetune",
    "/admin/mlmodels/trainingrun/compare/",
    "/admin/mlmodels/modelversion/compare/",
    "/admin/mlmodels/trainingrun/compare/",
    "/admin/mlmodels/modelversion/compare/",
    "/admin/mlmodels/modelversion/2/shadow/",
    "/admin/predictions/photo/?review=waiting",
)
APPS = ("accounts", "mlmodels", "predictions", "observations", "supervision")
"""Those whose admin pages are ours; the schedules of Celery and the like are not."""
_PRINT_FINDS = """
import json
from observations.models import Observation
finds = Observation.objects.filter(user__username=USER)
print(json.dumps([f"/finds/{each.pk}{end}" for each in finds for end in ("", "/why")]))
"""
_PRINT_ADMIN_PAGES = """
import json
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.test import RequestFactory
from django.urls import reverse

request = RequestFactory().get("/admin/")
request.user = get_user_model().objects.get(username="bob")
paths = []
for model, model_admin in admin.site._registry.items():
    if model._meta.app_label not in APPS:
        continue
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    paths.append(reverse(f"{name}_changelist"))
    if model_admin.has_add_permission(request):
        paths.append(reverse(f"{name}_add"))
    first = model_admin.get_queryset(request).order_by("-pk").first()
    if first is not None:
        views = ["change", "history"]
        views += ["delete"] * model_admin.has_delete_permission(request, first)
        paths += [reverse(f"{name}_{view}", args=[first.pk]) for view in views]
print(json.dumps(paths))
"""


def paths_of_finds(stack: Stack, user: str) -> list[str]:
    """Return the paths of the pages of the user's finds: the answer, and why it is so."""
    return _printed(stack, f"USER = {user!r}\n{_PRINT_FINDS}")


def admin_paths(stack: Stack) -> list[str]:
    """Return the paths of the admin: our own, and of each model the list, a form, and one row."""
    return [*OWN_ADMIN_PAGES, *_printed(stack, f"APPS = {APPS!r}\n{_PRINT_ADMIN_PAGES}")]


def _printed(stack: Stack, code: str) -> list[str]:
    done = stack("shell", "--verbosity", "0", "-c", code)
    assert done.returncode == 0, done.stderr
    paths: list[str] = json.loads(done.stdout.strip().splitlines()[-1])
    return paths
