"""Checks what runs ChampiPy outside a terminal: the systemd unit and the user of PostgreSQL."""

import os
import pwd
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from champipy_site.stack import privileges
from champipy_site.stack.__main__ import make_parser
from tests.support.paths import PROJECT

UNIT = PROJECT / "deploy" / "champipy.service"


def settings_of(unit: Path) -> dict[str, str]:
    lines = (line.strip() for line in unit.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")


def test_unit_restarts_the_supervisor_and_leaves_the_stopping_to_it():
    settings = settings_of(UNIT)
    assert settings["Restart"] == "always"
    assert settings["StartLimitIntervalSec"] == "0"
    assert (settings["KillMode"], settings["KillSignal"]) == ("mixed", "SIGTERM")
    program, *arguments = shlex.split(settings["ExecStart"])
    assert Path(program).name == "champipy"
    assert make_parser().parse_args(arguments).command == "up"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_unit_is_valid_and_hardened(tmp_path):
    unit = tmp_path / "champipy.service"
    unit.write_text(UNIT.read_text().replace("/opt/champipy/champipy", "/bin/true"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    checked = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root chooses another user")
def test_postgresql_of_root_runs_as_the_least_shared_user(tmp_path, monkeypatch):
    monkeypatch.setattr(privileges, "PROJECT", tmp_path / "project")
    data = tmp_path / "home" / "postgresql"
    data.parent.mkdir()
    (tmp_path / "project").mkdir()
    real = pwd.getpwnam
    without: dict[str, pwd.struct_passwd | None] = {"champipy": None}
    monkeypatch.setattr(pwd, "getpwnam", lambda name: found(name, real, without))
    assert privileges.server_user(data).pw_name == "nobody"
    without["champipy"] = real("daemon")
    assert privileges.server_user(data) == real("daemon")
    os.chown(tmp_path / "project", real("bin").pw_uid, -1)
    assert privileges.server_user(data) == real("bin")
    os.chown(data.parent, real("games").pw_uid, -1)
    assert privileges.server_user(data) == real("games")
    data.mkdir()
    os.chown(data, real("mail").pw_uid, -1)
    assert privileges.server_user(data) == real("mail")


def found(name, real, replaced):
    """Look up a user; those in `replaced` have another entry, or None for no entry."""
    if replaced.get(name, True) is None:
        raise KeyError(name)
    return replaced.get(name) or real(name)
