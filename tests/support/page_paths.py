"""The paths of all pages, for tests that look at each of them."""

import json

from tests.support.stack import Stack

OPEN_PAGES = ("/login",)
VERIFIERS_PAGES = ("/", "/queue", "/finds", "/photos", "/account")
"""Pages that every user has. `paths_of_finds` adds one for each find."""
OWN_ADMIN_PAGES = (
    "/admin/",
    "/admin/password_change/",
    "/admin/mlmodels/trainingrun/start/train",
    "/admin/mlmodels/trainingrun/start/finetune",
    "/admin/mlmodels/trainingrun/compare/",
    "/admin/mlmodels/modelversion/compare/",
    "/admin/mlmodels/modelversion/2/shadow/",
    "/admin/predictions/photo/?review=waiting",
)
APPS = ("accounts", "mlmodels", "predictions", "observations", "supervision")
"""Those whose admin pages are ours; the schedules of Celery and the like are not."""


def paths_of_finds(stack: Stack, user: str) -> list[str]:
    """Return the paths of the pages of the user's finds: the answer, and why it is so."""
    return _printed(stack, f"find_paths({user!r})")


def admin_paths(stack: Stack) -> list[str]:
    """Return the paths of the admin: our own, and of each model the list, a form, and one row."""
    return [*OWN_ADMIN_PAGES, *_printed(stack, "model_paths('bob')")]


def find_paths(user: str) -> list[str]:
    """Return what `paths_of_finds` does, of the database of this process."""
    from observations.models import Observation

    finds = Observation.objects.filter(user__username=user)
    return [f"/finds/{find.pk}{end}" for find in finds for end in ("", "/why")]


def model_paths(user: str, *, rows: int = 1) -> list[str]:
    """Return the paths of each model's pages in the admin, in the database of this process.

    They are the list, the form for a new row, the newest rows with their own pages, and the pages
    of the newest one's history and deletion, as far as the user may see them.
    """
    from django.contrib import admin
    from django.contrib.auth import get_user_model
    from django.test import RequestFactory
    from django.urls import reverse

    request = RequestFactory().get("/admin/")
    request.user = get_user_model().objects.get(username=user)
    paths = []
    for model, model_admin in admin.site._registry.items():
        if model._meta.app_label not in APPS:
            continue
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        paths.append(reverse(f"{name}_changelist"))
        if model_admin.has_add_permission(request):
            paths.append(reverse(f"{name}_add"))
        newest = model_admin.get_queryset(request).order_by("-pk")[:rows]
        paths += [reverse(f"{name}_change", args=[row.pk]) for row in newest]
        for row in newest[:1]:
            paths.append(reverse(f"{name}_history", args=[row.pk]))
            if model_admin.has_delete_permission(request, row):
                paths.append(reverse(f"{name}_delete", args=[row.pk]))
    return paths


def _printed(stack: Stack, call: str) -> list[str]:
    """Return the paths that a function of this module returns in a process of the stack."""
    code = f"import json; from tests.support.page_paths import *; print(json.dumps({call}))"
    done = stack("shell", "--verbosity", "0", "-c", code)
    assert done.returncode == 0, done.stderr
    paths: list[str] = json.loads(done.stdout.strip().splitlines()[-1])
    return paths
