"""Notes and tags of versions and of runs."""

import pytest
from django.test import Client

from mlmodels.annotation_services import MAX_TAGS, annotate, parse_tags
from mlmodels.models import ModelVersion, TrainingRun
from tests.support.rows import version_row

pytestmark = pytest.mark.django_db

VERSIONS = "/admin/mlmodels/modelversion/"
RUNS = "/admin/mlmodels/trainingrun/"


@pytest.fixture
def bob(users) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(users["bob"])
    return client


@pytest.mark.parametrize("base", [VERSIONS, RUNS])
def test_bob_writes_a_note_and_tags(bob: Client, base: str) -> None:
    row: ModelVersion | TrainingRun
    row = version_row() if base == VERSIONS else TrainingRun.objects.create(
        kind="train", status="failed", parameters={}
    )  # fmt: skip
    ModelVersion.objects.update(metrics={})
    page, path = f"{base}{row.pk}/change/", f"{base}{row.pk}/annotate"
    assert f'formaction="{path}"' in bob.get(page).content.decode()
    fields = {"note": " <b>New</b> lens ", "tags": "Autumn, lens  test,autumn,"}
    assert bob.post(path, fields).status_code == 403, "no CSRF token"
    fields |= {"csrfmiddlewaretoken": bob.cookies["csrftoken"].value}
    answer = bob.post(path, fields, follow=True)
    assert answer.redirect_chain == [(page, 302)]
    row.refresh_from_db()
    assert (row.note, row.tags) == ("<b>New</b> lens", ["autumn", "lens test"])
    html = answer.content.decode()
    assert "&lt;b&gt;New&lt;/b&gt; lens" in html
    assert "autumn, lens test" in html
    refused = bob.post(path, {**fields, "note": "other", "tags": "x" * 41}, follow=True)
    assert "Nothing was changed: The tag" in refused.content.decode()
    refused = bob.post(path, {**fields, "note": "n" * 5001}, follow=True)
    assert "Nothing was changed" in refused.content.decode()
    row.refresh_from_db()
    assert (row.note, row.tags) == ("<b>New</b> lens", ["autumn", "lens test"])
    assert bob.get(path).status_code == 405


def test_only_administrators_write_notes(users) -> None:
    version = version_row()
    alice = Client()
    alice.force_login(users["alice"])
    assert alice.post(f"{VERSIONS}{version.pk}/annotate", {"note": "mine"}).status_code == 302
    version.refresh_from_db()
    assert version.note == ""
    bob = Client()
    bob.force_login(users["bob"])
    assert bob.post(f"{VERSIONS}{version.pk + 1}/annotate", {"note": "x"}).status_code == 404


def test_the_list_is_filtered_by_tag(bob: Client) -> None:
    plain, tagged = version_row(), version_row(2, stage="Staging")
    ModelVersion.objects.update(metrics={})
    annotate(row=tagged, note="", tags="autumn")
    html = bob.get(VERSIONS).content.decode()
    assert "?tag=autumn" in html
    html = bob.get(f"{VERSIONS}?tag=autumn").content.decode()
    assert f"{VERSIONS}{tagged.pk}/change/" in html
    assert f"{VERSIONS}{plain.pk}/change/" not in html


def test_tags_are_tidied_and_bounded() -> None:
    assert parse_tags(" B,a ,, b\t c") == ["a", "b", "b c"]
    assert parse_tags("") == []
    many = ",".join(map(str, range(MAX_TAGS + 1)))
    with pytest.raises(ValueError, match="20 tags at most"):
        parse_tags(many)
