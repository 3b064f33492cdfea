"""The admin's list of predictions: what it shows, and that it reads no whole table."""

import re

import pytest
from django.test import Client

from mlmodels.models import ModelVersion
from predictions.models import Prediction
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
    assert f"{version.labels[1]} 80.00 %" in html
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
