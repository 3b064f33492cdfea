"""What administrators see of each person's use. The apps above register the figures.

This app knows nothing of predictions and decisions; `AppConfig.ready` of those that do calls
`show_of_people` and `seen_when`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Max, QuerySet
from django.utils.formats import number_format

from accounts.models import TokenDetails, User

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise

ByUser = Mapping[int, Any]
"""Values by the id of their user. A user without one has nothing to show."""
OfUsers = Callable[[Sequence[User]], ByUser]
MAX_COUNTED_OF_EACH = 1000
"""Rows of a user at which `counts_of_each` stops counting."""


@dataclass(frozen=True)
class PeopleFigure:
    """A column of the list of users."""

    title: "str | StrPromise"
    of: OfUsers


people_figures: dict[str, PeopleFigure] = {}
_seen: list[OfUsers] = []


def show_of_people(name: str, title: "str | StrPromise", of: OfUsers) -> None:
    """Register a figure that the list and the page of users show. `name` identifies it."""
    people_figures[name] = PeopleFigure(title, of)


def seen_when(of: OfUsers) -> None:
    """Register something that shows when users were last here: a datetime each."""
    _seen.append(of)


def figures_of(users: Sequence[User]) -> dict[str, ByUser]:
    """Return the registered figures of these users, by the figures' names."""
    return {name: figure.of(users) for name, figure in people_figures.items()}


def counts_of_each(
    users: Sequence[User], rows: QuerySet, field: str = "pk"
) -> dict[int, int | str]:
    """Return how many different values of `field` the rows of each user have, by the users' ids.

    `rows` are those of the user OuterRef("pk"), in the order of the index that is to be used. Of
    more than MAX_COUNTED_OF_EACH it is a text.
    """
    values = ArraySubquery(rows.values(field)[: MAX_COUNTED_OF_EACH + 1])
    found = User.objects.filter(pk__in=[user.pk for user in users]).values_list("pk", values)
    more = f"{number_format(MAX_COUNTED_OF_EACH, force_grouping=True)}+"
    return {
        pk: more if len(values) > MAX_COUNTED_OF_EACH else len(set(values)) for pk, values in found
    }


def last_seen(users: Sequence[User]) -> dict[int, datetime]:
    """Return when these users last logged in, used a token or did something that is registered."""
    used = TokenDetails.objects.filter(token__user__in=users, last_used_at__isnull=False)
    tokens = used.values_list("token__user").annotate(last=Max("last_used_at"))
    seen = {user.pk: user.last_login for user in users if user.last_login}
    for times in (dict(tokens), *(of(users) for of in _seen)):
        for pk, at in times.items():
            seen[pk] = max(at, seen.get(pk, at))
    return seen
