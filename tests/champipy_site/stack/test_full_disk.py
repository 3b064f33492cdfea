"""Runs the stack on a small disk that becomes full."""

import contextlib
import io
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from champipy_site.stack import logs
from champipy_site.stack.ports import choose_port
from champipy_site.stack.process import Child
from champipy_site.stack.state import Home, StackState, read_state, write_state
from champipy_site.stack.valkey import Valkey
from tests.support.disks import disk, fill
from tests.support.stack import Stack, eventually, prepared_stack


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Mount a disk of 300 MB; skip the test where that is not permitted."""
    with disk(300) as folder:
        if folder is None:
            pytest.skip("only root, with the right to mount, can make a small disk")
        yield folder


def test_reports_wait_in_memory_and_logs_stay_whole(small_disk):
    home = Home(small_disk / "home")
    home.make()
    home.log("web").write_bytes(b"a line\n" * 1000)
    home.log("web").with_name("web.log.1").write_bytes(b"older\n")
    report = logs.Report(home, io.StringIO())
    filler = fill(small_disk)
    assert shutil.disk_usage(small_disk).free == 0
    report.say("first")
    report.say("second")
    logs.rotate(home.log_folder, max_bytes=100)
    assert home.log("web").read_bytes() == b"a line\n" * 1000
    assert home.log("web").with_name("web.log.1").read_bytes() == b"older\n"
    filler.unlink()
    report.say("third")
    lines = home.log("stack").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["first", "second", "third"]
    logs.rotate(home.log_folder, max_bytes=100)
    assert home.log("web").with_name("web.log.1").read_bytes() == b"a line\n" * 1000
    assert sorted(path.name for path in home.log_folder.iterdir()) == [
        "stack.log",
        "web.log",
        "web.log.1",
    ]


def test_the_former_state_stays_whole_and_a_new_one_is_written_later(small_disk):
    home = Home(small_disk / "home")
    home.make()
    before = StackState(phase="running", supervisor=1)
    write_state(home, before)
    filler = fill(small_disk)
    with pytest.raises(OSError, match="No space left"):
        write_state(home, StackState(phase="down"))
    assert read_state(home) == before
    assert [path.name for path in home.path.glob("*.json*")] == ["stack.json"]
    filler.unlink()
    write_state(home, StackState(phase="down"))
    assert read_state(home) == StackState(phase="down")


def test_up_on_a_full_disk_says_so(small_disk):
    stack = Stack(small_disk)
    stack.home.make()
    fill(small_disk)
    started = stack.up()
    assert started.returncode == 1
    assert "no space left" in (started.stdout + started.stderr).lower()
    assert "Traceback" not in started.stderr
    assert stack.processes() == []


def test_valkey_works_on_a_full_disk_and_starts_again_afterwards(small_disk):
    """With a log of commands it did neither, once it had rewritten that log."""
    home = Home(small_disk / "home")
    home.make()
    server = Valkey(home, choose_port(None))
    server.prepare()
    service = server.service()
    child = Child(service, home.log("valkey"))
    with redis.Redis.from_url(server.url) as client:
        try:
            child.start()
            assert eventually(service.answers)
            client.set("before", 1)
            client.bgrewriteaof()
            assert eventually(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
            client.save()
            filler = fill(small_disk)
            for number in range(20):  # a log would have room for a part of one of them
                client.set("meanwhile", 500 * str(number))
                time.sleep(0.01)
            filler.unlink()
            client.set("after", 2)
            child.send(signal.SIGKILL)
            assert eventually(lambda: child.exit_code() is not None)
            child.start()
            assert eventually(service.answers)
            assert client.get("before") == b"1"
        finally:
            child.end()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_stack_survives_a_full_disk(small_disk, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    with prepared_stack() as stack:
        assert stack.up().returncode == 0
        before = read_state(stack.home)
        supervisor = psutil.Process(before.supervisor)
        filler = fill(small_disk)
        for name in ("postgresql", "web"):  # their ends and restarts are changes of the state
            os.kill(before.processes[name].pid, signal.SIGKILL)
        assert eventually(lambda: web_was_restarted(supervisor, before.processes["web"].pid))
        # What the two processes freed may have sufficed for a new state, or not.
        assert supervisor.is_running()
        assert read_state(stack.home).supervisor == before.supervisor

        filler.unlink()
        assert eventually(lambda: read_state(stack.home).processes["web"].restarts >= 1)
        assert eventually(lambda: stack("status").returncode == 0)
        assert stack.status_code() == 200
        assert read_state(stack.home).supervisor == before.supervisor
        assert stack("down").returncode == 0
        assert stack.processes() == []


def web_was_restarted(supervisor: psutil.Process, former: int) -> bool:
    """Return whether the supervisor runs another web process than the former one."""
    for each in supervisor.children():
        with contextlib.suppress(psutil.Error):  # it may have just ended
            if "champipy_site.web" in " ".join(each.cmdline()) and each.pid != former:
                return True
    return False
