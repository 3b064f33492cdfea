"""Queries whose SQL is made once."""

import pytest
from django.db.models import Value

from accounts.models import User
from common.prepared import Prepared
from mlmodels.models import ModelVersion
from tests.support.rows import version_row

pytestmark = pytest.mark.django_db

by_name = Prepared(lambda name: User.objects.filter(username=name), name=str)
newer_than = Prepared(lambda pk: User.objects.filter(pk__gt=pk).order_by("pk"), pk=int)


def test_a_query_is_asked_with_other_values_each_time(users: dict[str, User]) -> None:
    for name in ("alice", "bob"):
        assert by_name.first(name=name) == users[name]
    assert by_name.first(name="nobody") is None
    assert by_name.first(name="' OR '1'='1") is None
    ids = sorted(user.pk for user in users.values())
    assert [user.pk for user in newer_than.all(pk=ids[0])] == ids[1:]
    assert newer_than.count(pk=ids[0]) == len(ids) - 1


named = Prepared(lambda names: User.objects.filter(username__any_of=names), names=list)


def test_a_list_may_have_any_length(users: dict[str, User]) -> None:
    for names in ([], ["alice"], ["alice", "bob", "nobody", "') OR true --"]):
        found = {user.username for user in named.all(names=names)}
        assert found == {*names} & {*users}


def test_its_sql_is_made_once(users: dict[str, User], django_assert_num_queries) -> None:
    made = []

    def build(name: str):
        made.append(name)
        return User.objects.filter(username=name)

    query = Prepared(build, name=str)
    with django_assert_num_queries(3):
        for _ in range(3):
            assert query.first(name="alice") == users["alice"]
    assert len(made) == 1


def test_objects_are_as_the_query_itself_returns_them(
    users: dict[str, User], django_assert_num_queries
) -> None:
    version = version_row()
    labels = Prepared(
        lambda pk: ModelVersion.objects.filter(pk=pk).only("labels").annotate(kind=Value("x")),
        pk=int,
    )
    found = labels.first(pk=version.pk)
    assert found is not None
    with django_assert_num_queries(0):
        assert (found.pk, found.labels) == (version.pk, version.labels)
        assert vars(found)["kind"] == "x"
    with django_assert_num_queries(1):
        assert found.version == version.version
    assert found._state.adding is False
    assert found._state.db == "default"


def test_a_value_that_the_query_changes_is_refused() -> None:
    query = Prepared(lambda name: User.objects.filter(username__contains=name), name=str)
    with pytest.raises(ValueError, match="name"):
        query.first(name="alice")
