"""Requests made up from the OpenAPI schema: no error of the server, nothing undocumented.

`CHAMPIPY_SCHEMATHESIS_CASES=100` makes so many for each call, kind of user, and kind of request
(as the schema says, and against it); by default there are few, and always the same.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from knox.models import get_token_model
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.models import User
from champipy_site.wsgi import application
from mlmodels.models import ModelVersion

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("open_connection", "fresh_rate_limits"),
    pytest.mark.timeout(0),
]

CASES = int(os.environ.get("CHAMPIPY_SCHEMATHESIS_CASES", "0"))
PLAIN = {"Accept-Encoding": "identity"}  # schemathesis does not unpack what a WSGI call returns
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def token_maker(user: User | None) -> Callable[[], dict[str, str]]:
    """Return a function that returns headers with a new token; one of the calls revokes it."""

    def headers() -> dict[str, str]:
        if user is None:
            return {}
        _, token = get_token_model().objects.create(user=user)
        return {"Authorization": f"Token {token}"}

    return headers


@pytest.mark.parametrize("who", ["nobody", "alice", "bob"])
def test_made_up_requests_get_documented_answers(
    who: str,
    users: dict[str, User],
    production: ModelVersion,
    settings,
    tmp_path: Path,
) -> None:
    settings.CHAMPIPY_HOME = tmp_path  # uploads stay there when their rows are rolled back
    new_headers = token_maker(users.get(who))
    schema = schemathesis.openapi.from_wsgi("/api/v1/schema", application)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 22
    failures = []
    for operation in operations:
        for mode in schemathesis.GenerationMode:

            @hypothesis_settings(
                max_examples=CASES or 4,
                derandomize=not CASES,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.as_strategy(generation_mode=mode))
            def check(case: schemathesis.Case) -> None:
                # Nothing works on predictions here, so nobody waits for one.
                answer = case.call(headers={**new_headers(), "Prefer": "respond-async", **PLAIN})
                case.validate_response(answer, checks=CHECKS)

            try:
                check()
            except Unsatisfiable:
                pass  # a call to which nothing wrong can be said
            except FailureGroup as failure:
                failures.append(str(failure))
    assert not failures, "\n\n".join(failures)
