"""Starts and stops the whole stack."""

import os
import signal
import sys

import pytest

from champipy_site.stack.state import read_state
from tests.support.stack import Stack, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAMES = ["postgresql", "valkey", "beat", "web", "fetch", "monitoring", "inference", "training"]


def test_up_restart_and_down(new_stack: Stack):
    started = new_stack.up()
    assert started.returncode == 0, started.stdout + started.stderr
    assert f"http://127.0.0.1:{new_stack.port}/api/v1/docs" in started.stdout
    assert new_stack.status_code() == 200

    status = new_stack("status")
    assert status.returncode == 0
    rows = [line.split() for line in status.stdout.splitlines()[2:]]
    assert [(row[0], row[1]) for row in rows] == [(name, "up") for name in NAMES]

    again = new_stack.up()
    assert again.returncode == 0
    assert f"already up at http://127.0.0.1:{new_stack.port}" in again.stdout

    users = new_stack(
        "shell",
        "--verbosity",
        "0",
        "-c",
        "from accounts.models import User\n"
        "print(sorted(User.objects.values_list('username', flat=True)))",
    )
    assert "['admin', 'alice', 'bob', 'clementine']" in users.stdout, users.stderr

    before = read_state(new_stack.home).processes["web"].pid
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: read_state(new_stack.home).processes["web"].restarts == 1)
    assert eventually(lambda: new_stack("status").returncode == 0)
    assert new_stack.status_code() == 200
    assert read_state(new_stack.home).processes["web"].pid != before

    stopped = new_stack("down")
    assert stopped.returncode == 0
    assert [process.cmdline() for process in new_stack.processes()] == []
    assert new_stack("status").returncode == 3
    assert "nothing to stop" in new_stack("down").stdout


def test_killed_supervisor_leaves_no_processes(stack: Stack):
    assert stack.up().returncode == 0
    os.kill(read_state(stack.home).supervisor, signal.SIGKILL)
    if sys.platform == "linux":
        eventually(lambda: not stack.processes())
        assert [process.cmdline() for process in stack.processes()] == []
    else:
        assert stack("down").returncode == 0
        assert stack.processes() == []
    assert stack.up().returncode == 0
    assert stack.status_code() == 200


def test_command_without_a_running_stack_gets_temporary_servers(new_stack: Stack):
    code = "from django.db import connection\nprint(connection.pg_version >= 160000)"
    done = new_stack("shell", "--verbosity", "0", "-c", code)
    assert (done.returncode, done.stdout.split()) == (0, ["True"]), done.stderr
    assert new_stack.processes() == []


def test_up_for_others_refuses_published_passwords(stack: Stack):
    up = ("up", "--detach", "--host", "0.0.0.0", "--port", str(stack.port))
    refused = stack(*up)
    assert refused.returncode == 1
    assert "documentation: admin, alice, bob, clementine. Give each" in refused.stdout
    assert "--accept-published-passwords" in refused.stdout
    assert stack.processes() == []

    accepted = stack(*up, "--accept-published-passwords")
    assert accepted.returncode == 0, accepted.stdout
    assert "WARNING: Others can reach 0.0.0.0. These logins" in accepted.stdout
    assert stack("down").returncode == 0

    code = (
        "from accounts.models import User\n"
        "for user in User.objects.all():\n"
        "    user.set_password('one that nobody published')\n"
        "    user.save()"
    )
    assert stack("shell", "-c", code).returncode == 0
    changed = stack(*up)
    assert changed.returncode == 0, changed.stdout
    assert "documentation" not in changed.stdout


def test_failing_start_shows_why_and_stops_everything(new_stack: Stack):
    new_stack.home.make()
    (new_stack.home.path / "static").write_text("a file where collectstatic needs a folder")
    started = new_stack.up()
    assert started.returncode == 1
    assert "prepare failed with exit code 1" in started.stdout
    assert "static" in started.stdout
    assert new_stack.processes() == []
