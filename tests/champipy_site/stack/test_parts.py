"""Unit tests of the stack: state, backoff, ports, logs, arguments, environment."""

import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from accounts.checks import production_settings
from champipy_site.celery import app
from champipy_site.process_secrets import NEEDED, SECRETS, unneeded_secrets
from champipy_site.stack import environment, logs, ports
from champipy_site.stack.__main__ import make_parser
from champipy_site.stack.commands import duration
from champipy_site.stack.process import Backoff, Child, Service, stop_children
from champipy_site.stack.servers import StartError, given_urls, wait_for
from champipy_site.stack.services import all_services, node_answers, own_address
from champipy_site.stack.state import (
    Home,
    LockedError,
    ProcessState,
    StackError,
    StackState,
    read_state,
    write_state,
)
from common import home as home_module


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "a home")
    home.make()
    return home


def python_service(code: str, **options) -> Service:
    """Return a service that runs Python code and, by default, always answers."""
    return Service(
        name="probe",
        command=[sys.executable, "-c", code],
        environment=dict(os.environ),
        folder=Path("/"),
        answers=options.pop("answers", lambda: True),
        **options,
    )


def test_state_survives_writing_and_reading(home):
    state = StackState(
        phase="running",
        ports={"valkey": 20001},
        processes={"web": ProcessState("up", 12, 3.5, 1)},
    )
    write_state(home, state)
    assert read_state(home) == state
    assert home.state_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.path.iterdir() if "new" in path.name] == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"processes": {"web": 1}}', '{"x": 1}'])
def test_damaged_state_is_read_as_an_empty_one(home, text):
    home.state_file.write_text(text)
    assert read_state(home) == StackState()


def test_later_process_with_the_same_pid_is_another_one():
    state = StackState()
    state.take_over(phase="running", command="up")
    assert state.is_supervised()
    state.supervisor_created -= 10
    assert not state.is_supervised()


def test_folders_of_a_home_are_closed_to_others(tmp_path):
    home = Home(tmp_path / "home")
    (home.path / "media").mkdir(parents=True, mode=0o755)  # as earlier versions made it
    home.make()
    modes = {path.name: path.stat().st_mode & 0o777 for path in home.path.iterdir()}
    assert modes == dict.fromkeys(("cache", "incoming", "log", "media", "models"), 0o700)


def test_home_can_be_locked_only_once(home):
    with home.lock(), pytest.raises(LockedError), home.lock():
        pass
    with home.lock():
        pass


def test_password_is_kept_and_private(home):
    assert home.password("valkey") == home.password("valkey")
    assert len(home.password("valkey")) >= 32
    assert (home.path / "valkey.password").stat().st_mode & 0o777 == 0o600


def test_backoff_doubles_to_thirty_seconds_and_recovers():
    backoff = Backoff()
    assert [backoff.next(ran=2) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert backoff.next(ran=61) == 1
    assert backoff.next(ran=2) == 2


def test_port_is_kept_while_free_and_changed_when_taken():
    kept = ports.choose_port()
    assert kept in ports.KEPT_PORTS
    assert ports.choose_port(kept) == kept
    with socket.socket() as other:
        other.bind(("127.0.0.1", kept))
        other.listen()
        assert not ports.is_free("127.0.0.1", kept)
        assert ports.choose_port(kept) != kept


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.0.0.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.0.2.1", False),
    ],
)
def test_loopback_hosts(host, is_loopback):
    assert ports.is_loopback(host) is is_loopback


def test_impossible_host_raises_stack_error():
    with pytest.raises(StackError, match=r"192\.0\.2\.1"):
        ports.is_free("192.0.2.1", 8000)


def test_large_log_is_emptied_and_its_writer_continues(tmp_path):
    log = tmp_path / "web.log"
    with log.open("a") as writer:
        print("x" * 100, file=writer, flush=True)
        logs.rotate(tmp_path, max_bytes=50)
        assert (tmp_path / "web.log.1").read_text() == "x" * 100 + "\n"
        print("next", file=writer, flush=True)
    assert log.read_text() == "next\n"
    logs.rotate(tmp_path, max_bytes=50)
    assert log.read_text() == "next\n"


WRITER = """
import os, sys
log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for number in range(200_000):
    os.write(log, b"%d\\n" % number)
"""


def test_rotation_loses_no_line_of_a_busy_writer(tmp_path):
    log = tmp_path / "web.log"
    log.write_bytes(b"x" * 9000)
    logs.rotate(tmp_path, max_bytes=1)
    if log.stat().st_size == 0:
        pytest.skip("this file system cannot remove the first blocks of a file")
    rotated = (tmp_path / "web.log.1").read_bytes()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, log])
    while writer.poll() is None:
        if log.stat().st_size > 20_000:
            logs.rotate(tmp_path, max_bytes=20_000)
            rotated += (tmp_path / "web.log.1").read_bytes()
    assert writer.returncode == 0
    written = b"x" * 9000 + b"".join(b"%d\n" % number for number in range(200_000))
    assert rotated + log.read_bytes() == written


def test_last_and_new_lines(tmp_path):
    log = tmp_path / "web.log"
    assert logs.last_lines(log, 3) == []
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert logs.last_lines(log, 2) == ["line 998", "line 999"]
    positions = {log: log.stat().st_size}
    with log.open("a") as writer:
        writer.write("complete\nincompl")
    assert list(logs.new_lines(log, positions)) == ["complete"]
    log.write_text("new\n")
    assert list(logs.new_lines(log, positions)) == ["new"]


def test_error_for_an_unknown_log_lists_the_known_ones(home):
    home.log("web").touch()
    with pytest.raises(StackError, match=r"'wbe'.*Known logs: web"):
        logs.choose_logs(home, "wbe")


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x", "80.5"])
def test_wrong_port_is_refused(port, capsys):
    with pytest.raises(SystemExit) as caught:
        make_parser().parse_args(["up", "--port", port])
    assert caught.value.code == 2
    assert "1 to 65535" in capsys.readouterr().err or port == "-1"


def test_up_listens_on_the_loopback_address_by_default():
    options = make_parser().parse_args(["up"])
    assert (options.host, options.port, options.detach) == ("127.0.0.1", 8000, False)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("box.example.org", "http://box.example.org:80"),
    ],
)
def test_own_address(host, address):
    assert own_address(host, 80) == address


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (185, "3 min 5 s"), (7440, "2 h 4 min"), (90000, "1 d 1 h")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_services_and_queues():
    services = all_services({}, "127.0.0.1", 8000)
    assert [service.name for service in services] == [
        "beat",
        "web",
        "fetch",
        "monitoring",
        "inference",
        "training",
    ]
    queues = [
        service.command[service.command.index("--queues") + 1]
        for service in services
        if "--queues" in service.command
    ]
    assert queues == ["fetch", "monitoring", "inference", "training"]


def test_compose_runs_the_same_celery_processes():
    compose = yaml.safe_load((environment.PROJECT / "docker-compose.yml").read_text())["services"]
    for service in all_services({}, "127.0.0.1", 8000):
        if "celery" in service.command:
            expected = service.command[service.command.index("-m") :]
            actual = shlex.split(compose[service.name]["command"])
            assert actual[actual.index("-m") :] == [*expected[:-1], f"{service.name}@%h"]
            assert ("nice" in actual) == (service.nice > 0)


def test_every_container_is_confined():
    compose = yaml.safe_load((environment.PROJECT / "docker-compose.yml").read_text())["services"]
    assert len(compose) == 9
    for name, service in compose.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert "inside" in service["networks"], name
        assert "container_name" not in service, "two of one name cannot run"
    to_others = {name for name, service in compose.items() if "outside" in service["networks"]}
    assert to_others == {"web", "fetch", "monitoring", "training"}


@pytest.mark.parametrize("process", NEEDED)
def test_no_process_gets_a_secret_that_it_can_do_without(process):
    given = dict.fromkeys(SECRETS, "hush")
    for service in all_services({"DATABASE_URL": "url", **given}, "127.0.0.1", 8000):
        if service.name == process:
            told = {name for name, value in service.environment.items() if value == "hush"}
            assert told == NEEDED[process]
            assert service.environment["DATABASE_URL"] == "url"
    compose = yaml.safe_load((environment.PROJECT / "docker-compose.yml").read_text())["services"]
    if process in compose:
        emptied = {name for name, value in compose[process]["environment"].items() if value == ""}
        assert emptied == unneeded_secrets(process) | {"POSTGRES_PASSWORD", "VALKEY_PASSWORD"}
        assert compose[process]["environment"]["CHAMPIPY_PROCESS"] == process


@pytest.mark.parametrize(("process", "has_key"), [("inference", False), ("web", True), ("", True)])
def test_a_process_without_need_has_no_key(process, has_key, tmp_path):
    variables = {"CHAMPIPY_PROCESS": process, "SECRET_KEY": "hush", "CHAMPIPY_HOME": str(tmp_path)}
    code = "from django.conf import settings as s; print(s.CHAMPIPY_UNNEEDED_SECRETS, s.SECRET_KEY)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | variables | {"DJANGO_SETTINGS_MODULE": "champipy_site.settings"},
        cwd=environment.PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if has_key else 1), done.stderr
    assert done.stdout == ("[] hush\n" if has_key else "")
    assert has_key or "SECRET_KEY setting must not be empty" in done.stderr
    assert not (tmp_path / "secret_key").exists()


def test_deploy_check_names_secrets_that_a_process_was_given_needlessly(settings):
    settings.CHAMPIPY_PROCESS = "inference"
    settings.CHAMPIPY_UNNEEDED_SECRETS = ["EMAIL_URL", "SECRET_KEY"]
    [found] = [check for check in production_settings(None) if check.id == "champipy.W009"]
    assert "inference has secrets that it does not need: EMAIL_URL, SECRET_KEY" in found.msg


def test_the_servers_passwords_are_in_the_urls_only():
    """`env_file` would give them to each container; what `environment` sets comes first."""
    compose = yaml.safe_load((environment.PROJECT / "docker-compose.yml").read_text())["services"]
    ours = [service for service in compose.values() if "env_file" in service]
    assert len(ours) == 7
    for service in ours:
        given = service["environment"]
        assert (given["POSTGRES_PASSWORD"], given["VALKEY_PASSWORD"]) == ("", "")


def test_empty_urls_count_as_missing(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("REDIS_URL", "redis://example.org/0")
    assert given_urls() == {"REDIS_URL": "redis://example.org/0"}


def test_relative_home_in_the_environment_is_relative_to_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(home_module, "PROJECT", tmp_path / "project")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHAMPIPY_HOME", "data")
    home_module.load_dotenv()
    assert os.environ["CHAMPIPY_HOME"] == str(tmp_path / "data")


def test_relative_home_in_dotenv_is_relative_to_the_project(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("CHAMPIPY_HOME=data\n")
    monkeypatch.setattr(home_module, "PROJECT", tmp_path)
    monkeypatch.setenv("CHAMPIPY_HOME", "x")  # so that monkeypatch undoes what .env sets
    monkeypatch.delenv("CHAMPIPY_HOME")
    home_module.load_dotenv()
    assert os.environ["CHAMPIPY_HOME"] == str(tmp_path / "data")


def test_servers_do_not_get_the_secret_key(home, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hush")
    assert "SECRET_KEY" not in environment.server_environment(home)
    assert environment.project_environment(home, {})["SECRET_KEY"] == "hush"


def test_failed_start_shows_the_log(tmp_path):
    service = python_service("print('no disk'); raise SystemExit(5)", answers=lambda: False)
    child = Child(service, tmp_path / "probe.log")
    child.start()
    with pytest.raises(StartError, match=r"(?s)probe ended .*exit code 5.*no disk"):
        wait_for([child], on_up=lambda _: None)


def test_hanging_start_raises_start_error(tmp_path):
    child = Child(
        python_service("import time; time.sleep(60)", answers=lambda: False), tmp_path / "probe.log"
    )
    child.start()
    try:
        with pytest.raises(StartError, match="did not answer"):
            wait_for([child], on_up=lambda _: None, seconds=0.3)
    finally:
        child.end()


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGQUIT, signal.SIG_IGN)
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("is_hurried", [True, False])
def test_stubborn_process_is_killed_with_its_descendants(tmp_path, is_hurried):
    log = tmp_path / "probe.log"
    limit = 60.0 if is_hurried else 0.2
    service = python_service(
        STUBBORN,
        answers=lambda: log.read_text().strip() != "",
        stop_seconds=limit,
        quick_seconds=0.2,
    )
    child = Child(service, log)
    child.start()
    wait_for([child], on_up=lambda _: None)
    stop_children([child], is_hurried=lambda: is_hurried)
    descendant = int(log.read_text())
    assert child.state == "stopped"
    assert not ProcessState("", child.pid, child.as_state().created, 0).is_alive()
    ps = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(descendant)], capture_output=True, check=False
    )
    assert ps.stdout[:1] in (b"", b"Z")  # ended, or a zombie that its parent has not reaped


def test_process_hears_signals_that_its_starter_ignores(tmp_path):
    code = "import signal; print(signal.getsignal(signal.SIGQUIT) is signal.SIG_DFL, flush=True)"
    child = Child(python_service(code, answers=lambda: True), tmp_path / "probe.log")
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        child.start()
    finally:
        signal.signal(signal.SIGQUIT, before)
    assert child._process is not None
    assert child._process.wait(30) == 0
    assert (tmp_path / "probe.log").read_text() == "True\n"


def test_a_worker_is_not_asked_while_the_broker_is_away(monkeypatch):
    asked: list[str] = []

    def ping(destination, timeout):
        asked.extend(destination)
        return [{name: {"ok": "pong"}} for name in destination]

    monkeypatch.setattr(app.control, "ping", ping)
    assert node_answers("fetch@here")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}/0")
    assert not node_answers("fetch@here")
    assert asked == ["fetch@here"]
