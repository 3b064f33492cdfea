"""Runs the shell script from other folders, through links, with spaces and without Python."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from champipy_site.stack.environment import PROJECT
from champipy_site.version import VERSION

VENV = PROJECT / ".venv"
needs_venv = pytest.mark.skipif(
    not (VENV / "installed-requirements.txt").exists()
    or (VENV / "installed-requirements.txt").read_bytes()
    != (PROJECT / "requirements.txt").read_bytes(),
    reason="./champipy has not installed the current requirements.txt yet",
)


def call(script: Path, *arguments: str, cwd: Path, **variables: str):
    environment = {**os.environ, **variables}
    return subprocess.run(
        [script, *arguments],
        check=False,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder, with a space, of the script, stack and `common`, linked to this `.venv`."""
    project = tmp_path / "a project"
    for folder in ("champipy_site/stack", "common"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / folder, project / folder, ignore=ignored)
    (project / "champipy_site" / "__init__.py").touch()
    for name in (
        "champipy",
        "champipy_site/process_secrets.py",
        "champipy_site/version.py",
        "requirements.txt",
        "requirements-dev.txt",
    ):
        shutil.copy(PROJECT / name, project / name)
    (project / ".venv").symlink_to(VENV)
    return project


@pytest.mark.parametrize("arguments", [(), ("help",), ("--help",)])
def test_usage_needs_no_installation(tmp_path, arguments):
    shutil.copy(PROJECT / "champipy", tmp_path / "champipy")
    done = call(tmp_path / "champipy", *arguments, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ./champipy COMMAND\n")
    assert done.stderr == ""


def test_version_is_champipys_and_needs_no_installation(tmp_path):
    (tmp_path / "champipy_site").mkdir()
    for name in ("champipy", "champipy_site/version.py"):
        shutil.copy(PROJECT / name, tmp_path / name)
    done = call(tmp_path / "champipy", "--version", cwd="/")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"ChampiPy {VERSION}\n", "")


@needs_venv
@pytest.mark.parametrize("command", ["up", "down", "status", "logs", "backup", "restore", "test"])
def test_help_knows_the_commands_of_the_stack(copy, tmp_path, command):
    home = tmp_path / "home"
    done = call(copy / "champipy", "help", command, cwd=tmp_path, CHAMPIPY_HOME=str(home))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.lower().startswith(f"usage: ./champipy {command}")
    assert not home.exists()


def test_missing_python_is_reported(tmp_path):
    shutil.copy(PROJECT / "champipy", tmp_path / "champipy")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "readlink", "cmp"):
        (tools / name).symlink_to(shutil.which(name))
    done = call(tmp_path / "champipy", "status", cwd=tmp_path, PATH=str(tools))
    assert done.returncode != 0
    assert "needs Python 3.11, 3.12 or 3.13" in done.stderr


@needs_venv
def test_runs_from_elsewhere_through_a_link_and_with_spaces(copy, tmp_path):
    link = tmp_path / "bin link"
    link.symlink_to(Path(copy.name) / "champipy")
    (tmp_path / "redis.py").write_text("raise SystemExit('the current folder was imported')")
    done = call(link, "status", cwd=tmp_path, CHAMPIPY_HOME="my home")
    assert (done.returncode, done.stderr) == (3, "")
    assert f"ChampiPy is not up (data and logs: {tmp_path / 'my home'})" in done.stdout


@needs_venv
def test_home_is_in_the_project_by_default(copy, tmp_path):
    variables = dict.fromkeys(("CHAMPIPY_HOME", "DATABASE_URL", "REDIS_URL"), "")
    done = call(copy / "champipy", "down", cwd=tmp_path, **variables)
    assert (done.returncode, done.stdout) == (0, "ChampiPy is not up; there is nothing to stop.\n")
    assert (copy / "var" / "stack.json").exists()


@needs_venv
def test_taken_port_is_reported_and_nothing_is_started(copy, tmp_path, taken_port):
    home = tmp_path / "home"
    done = call(
        copy / "champipy", "up", "--port", str(taken_port), cwd=tmp_path, CHAMPIPY_HOME=str(home)
    )
    assert done.returncode == 1
    assert f"Port {taken_port} on 127.0.0.1 is taken" in done.stdout
    assert "--port" in done.stdout
    assert not (home / "postgresql").exists()


def test_usage_lists_every_command(tmp_path):
    shutil.copy(PROJECT / "champipy", tmp_path / "champipy")
    usage = call(tmp_path / "champipy", cwd=tmp_path).stdout
    commands = {path.stem for path in PROJECT.glob("*/management/commands/[a-z]*.py")}
    commands |= {"up", "down", "status", "logs", "backup", "restore", "test", "help"}
    commands -= {"terminal_token"}  # `predict` calls it by itself
    listed = re.findall(r"^(?:  )?([a-z_]+)[ ,]", usage, re.MULTILINE)
    assert commands <= set(listed)


@needs_venv
@pytest.mark.parametrize("is_in_file", [False, True])
def test_a_setting_has_its_extra_installed(copy, tmp_path, is_in_file):
    """`.env` and the environment count; the packages are those of a file of their own."""
    stamp = VENV / "installed-requirements-telemetry.txt"
    before = stamp.read_bytes() if stamp.exists() else None
    (copy / "requirements-telemetry.txt").write_text(f"# of a test, {is_in_file}\n")
    name, value = "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"
    variables = {"CHAMPIPY_HOME": str(tmp_path / "home"), name: "" if is_in_file else value}
    try:
        (copy / ".env").write_text(f"{name}=\n")
        unset = variables | {name: ""}
        assert call(copy / "champipy", "status", cwd=tmp_path, **unset).stderr == ""
        if is_in_file:
            (copy / ".env").write_text(f"A=b\n{name}={value}\n")
        done = call(copy / "champipy", "status", cwd=tmp_path, **variables)
        assert "Installing requirements-telemetry.txt" in done.stderr
        assert done.returncode == 3
    finally:
        stamp.unlink(missing_ok=True)
        if before is not None:
            stamp.write_bytes(before)
