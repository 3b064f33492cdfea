"""The admin's frame: its sections, titles and dates, and who sees what."""

import re
from html import unescape

import pytest
from django.contrib import admin as django_admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import User
from champipy_site.admin_site import SECTIONS, SYSTEM

pytestmark = pytest.mark.django_db


def navigation(page: str) -> list[str]:
    """Return the headings and links of a page's navigation, in their order."""
    [bar] = re.findall(r'<nav class="sections-bar".*?</nav>', page, re.S)
    texts = re.findall(r"<(?:a|span|summary)[^>]*>([^<]+)</", bar)
    return [unescape(text) for text in texts]


def test_bob_finds_his_own_order_with_the_rest_behind_system(admin: Client) -> None:
    texts = navigation(admin.get("/admin/").content.decode())
    places = [
        texts.index(text)
        for text in ("Overview", "Review", "Training", "Versions", "Alerts", "People", "System")
    ]
    assert places == sorted(places)
    system = texts.index("System")
    for text in ("Periodic tasks", "Solar events of tasks", "Groups of users", "Failed logins"):
        assert texts.index(text) > system


def test_every_page_is_listed_once(admin: Client) -> None:
    """A page of a new model is behind "System" until a section names it."""
    page = admin.get("/admin/").content.decode()
    [bar] = re.findall(r'<nav class="sections-bar".*?</nav>', page, re.S)
    for model in django_admin.site._registry:
        meta = model._meta
        url = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
        assert bar.count(f'href="{url}"') == 1, url


def test_sections_name_only_models_that_have_pages() -> None:
    registered = {model._meta.label_lower for model in django_admin.site._registry}
    named = [page for section in (*SECTIONS, SYSTEM) for page in section.pages]
    assert set(named) <= registered
    assert len(named) == len(set(named))


def test_system_is_closed_except_on_its_own_pages(admin: Client) -> None:
    closed = admin.get("/admin/supervision/alert/").content.decode()
    assert '<details><summary class="heading">System</summary>' in closed
    opened = admin.get("/admin/auth/group/").content.decode()
    assert '<details open><summary class="heading">System</summary>' in opened
    assert 'href="/admin/auth/group/" aria-current="page"' in opened
    assert opened.count('href="/admin/auth/group/add/"') == 1


def test_who_may_see_little_is_shown_little(users: dict[str, User], client: Client) -> None:
    clementine = users["clementine"]
    clementine.is_staff = True
    clementine.save()
    clementine.user_permissions.add(Permission.objects.get(codename="view_alert"))
    client.force_login(clementine, backend="django.contrib.auth.backends.ModelBackend")
    texts = navigation(client.get("/admin/supervision/alert/").content.decode())
    assert texts == ["Overview", "Alerts"]


def test_login_page_has_no_navigation(client: Client) -> None:
    page = client.get("/admin/login/").content.decode()
    assert 'class="sections' not in page


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/admin/accounts/user/", "Users"),
        ("/admin/mlmodels/stagetransition/", "Promotions and rollbacks"),
        ("/admin/django_celery_beat/periodictask/", "Periodic tasks"),
        ("/admin/axes/accessfailurelog/", "Failed logins"),
    ],
)
def test_lists_are_titled_as_in_the_navigation(admin: Client, path: str, title: str) -> None:
    page = admin.get(path).content.decode()
    assert f"<h1>{title}</h1>" in page
    assert f"<title>{title} | ChampiPy</title>" in page
    assert re.search(rf'<a href="/admin/">Overview</a>\s+&rsaquo; {title}\s+</div>', page)


def test_page_of_a_row_is_titled_by_the_row(admin: Client, users: dict[str, User]) -> None:
    page = admin.get(f"/admin/accounts/user/{users['alice'].pk}/change/").content.decode()
    assert "<h1>User: alice</h1>" in page
    assert "<title>User: alice | ChampiPy</title>" in page
    page = admin.get("/admin/accounts/user/add/").content.decode()
    assert "<h1>Add user</h1>" in page


@pytest.mark.parametrize("what", ["delete", "history", "password"])
def test_further_pages_of_a_row_lead_back(admin: Client, users: dict[str, User], what: str) -> None:
    alice = f"/admin/accounts/user/{users['alice'].pk}"
    page = admin.get(f"{alice}/{what}/").content.decode()
    [crumbs] = re.findall(r'<div class="breadcrumbs">.*?</div>', page, re.S)
    assert re.findall('href="([^"]+)"', crumbs) == [
        "/admin/",
        "/admin/accounts/user/",
        f"{alice}/change/",
    ]
