"""Sending to the real broker, and to one that is away."""

import json
import os
import subprocess
import sys

import pytest

from common.broker import send_task
from common.valkey import valkey_client
from tests.support.paths import PROJECT

QUEUE = "training"  # no worker of these tests takes from it
TASK = "supervision.trainings.tasks.work_next_run"


@pytest.fixture
def queue():
    valkey_client().delete(QUEUE)
    yield lambda: [json.loads(message) for message in valkey_client().lrange(QUEUE, 0, -1)]
    valkey_client().delete(QUEUE)


def test_a_message_is_sent_with_an_expiry(queue) -> None:
    assert send_task(TASK, 7, expires_s=20)
    [message] = queue()
    assert message["headers"]["task"] == TASK
    assert message["headers"]["argsrepr"] == "(7,)"
    assert message["headers"]["expires"] is not None


def test_a_broker_that_is_away_is_no_error() -> None:
    code = (
        "import django; django.setup()\n"
        "from common.broker import send_task\n"
        f"print(send_task({TASK!r}, expires_s=20))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=os.environ | {"REDIS_URL": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "False\n"), result.stderr
    assert f"{TASK}() was not sent" in result.stderr
