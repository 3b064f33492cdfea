"""The admin's list of predictions: what it shows, and that it reads no whole table."""

import re

import pytest
from django.test import Client

from mlmodels.models import ModelVersion
from predictions.models import Inference, Prediction
from tests.support.rows import answered_prediction, version_row

pytestmark = pytest.mark.django_db
LIST = "/admin/predictions/prediction/"


@pytest.fixture
def version() -> ModelVersion:
    return version_row()


def listed(client: Client, query: str = "") -> list[int]:
    response = client.get(f"{LIST}?{query}")
    assert response.status_code == 200
    return [int(pk) for pk in re.findall(rf'href="{LIST}(\d+)/change', response.content.decode())]


def failed(code: str, sha256: str = "") -> Prediction:
    return Prediction.objects.create(
        file="a.jpg", is_upload=True, status="failed", error_code=code, sha256=sha256
    )


def test_the_list_counts_once_and_reads_neither_cards_nor_distinct_values(
    admin, version, django_assert_max_num_queries
) -> None:
    for score in (60, 70, 80):
        answered_prediction(score, version)
    with django_assert_max_num_queries(8) as queries:
        html = admin.get(LIST).content.decode()
    assert f'<i lang="la">{version.labels[1]}</i> 80.0\xa0%' in html
    sql = [query["sql"] for query in queries.captured_queries if "prediction" in query["sql"]]
    assert sum("COUNT(" in each for each in sql) == 1
    assert not any("DISTINCT" in each or '"card"' in each for each in sql)
    assert any("LIMIT 10000" in each for each in sql)


def test_search_by_sha256_or_its_beginning(admin) -> None:
    first, second = failed("not_an_image", "ab12" * 16), failed("not_an_image", "ab34" * 16)
    assert listed(admin, f"q={'ab12' * 16}") == [first.pk]
    assert listed(admin, "q=AB3") == [second.pk]
    assert listed(admin, "q=ab") == [second.pk, first.pk]
    assert listed(admin, "q=a.jpg") == []
    assert listed(admin, "q=%25") == []


def test_filter_by_error_code(admin) -> None:
    failed("not_an_image")
    truncated = failed("image_truncated")
    assert listed(admin, "error_code=image_truncated") == [truncated.pk]
    assert len(listed(admin, "status__exact=failed")) == 2


def page_of(client: Client, prediction: Prediction) -> str:
    page = client.get(f"{LIST}{prediction.pk}/change/").content.decode()
    return " ".join(page.split())


def test_a_page_shows_the_photo_with_its_answer_and_the_verdict_in_words(
    admin, users, version
) -> None:
    prediction = answered_prediction(
        61.5, version, user=users["alice"], file="<b>.jpg", proposed="Amanita muscaria",
        verdict={
            "verdict": "not_covered", "score": None,
            "because": {"code": "genus_alone", "parameters": {}},
        },
    )  # fmt: skip
    photo_id = prediction.inference.photo_id
    page = page_of(admin, prediction)
    assert f"<h1>Prediction {prediction.pk}</h1>" in page
    assert f'<img src="/admin/predictions/photo/{photo_id}/picture" alt="Photo {photo_id};' in page
    assert f'<p class="figure"><i lang="la">{version.labels[1]}</i>, 62 %</p>' in page
    assert page.count('<tr><th scope="row"><i lang="la">') == len(version.labels)
    assert '<meter min="0" max="100" value="61.5" aria-label="Amanita muscaria">' in page
    assert "<td>61.50 %</td>" in page
    assert '<strong><i lang="la">Amanita muscaria</i>: cannot be judged</strong>' in page
    assert "A genus alone is not judged." in page
    assert "not_covered</" not in page
    assert "&lt;b&gt;.jpg" in page


def test_a_page_never_names_a_species_first_for_what_is_none_of_them(admin, version) -> None:
    prediction = answered_prediction(90, version)
    Inference.objects.update(in_scope=False, scope_score=3.21)
    page = page_of(admin, prediction)
    assert '<p class="figure">None of the 10 species that it knows</p>' in page
    assert "One of its species with a probability of 3 %." in page
    listed = admin.get(LIST).content.decode()
    assert f'none of its species; the likeliest: <i lang="la">{version.labels[1]}</i>' in listed


def test_pages_without_an_answer_say_why(admin) -> None:
    refused = failed("not_an_image")
    Prediction.objects.filter(pk=refused.pk).update(error_detail="This file is not a photo.")
    assert '<p class="errornote">This file is not a photo.</p>' in page_of(admin, refused)
    pending = Prediction.objects.create(file="b.jpg", is_upload=True)
    assert "It is not answered yet." in page_of(admin, pending)
