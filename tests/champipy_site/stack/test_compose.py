"""Has a real implementation of compose read docker-compose.yml."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import PROJECT

ENV = {
    "SECRET_KEY": "k" * 50,
    "POSTGRES_PASSWORD": "secretofpostgres",
    "VALKEY_PASSWORD": "secretofvalkey",
    "ALLOWED_HOSTS": "localhost",
}


def compose_command() -> list[str]:
    """Return Docker Compose, else podman-compose; skip the test where neither can run."""
    docker = ["docker", "compose"]
    if shutil.which("docker"):
        asked = subprocess.run([*docker, "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return docker
    if shutil.which("podman"):
        return [sys.executable, "-m", "podman_compose"]
    pytest.skip("neither docker with its plugin compose nor podman is installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the file, and with the .env that it needs."""
    shutil.copy(PROJECT / "docker-compose.yml", tmp_path)
    lines = "".join(f"{name}={value}\n" for name, value in ENV.items())
    (tmp_path / ".env").write_text(lines)
    return tmp_path


def config(folder: Path, **variables: str) -> dict[str, Any]:
    done = subprocess.run(
        [*compose_command(), "config"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


def test_compose_accepts_the_file_and_fills_in_what_env_says(folder: Path) -> None:
    services = config(folder)["services"]
    assert len(services) == 9
    web, inference = services["web"]["environment"], services["inference"]["environment"]
    assert web["DATABASE_URL"] == "postgres://champipy:secretofpostgres@postgres:5432/champipy"
    assert web["SECRET_KEY"] == ENV["SECRET_KEY"]
    assert not inference["SECRET_KEY"]
    assert "8000" in str(services["web"]["ports"])


def test_several_webs_get_ports_of_their_own(folder: Path) -> None:
    services = config(folder, CHAMPIPY_PORT="8000-8003")["services"]
    assert "8000-8003" in str(services["web"]["ports"])


def test_images_can_be_pinned_by_their_digests(folder: Path) -> None:
    pinned = f"docker.io/valkey/valkey@sha256:{64 * '0'}"
    assert config(folder, VALKEY_IMAGE=pinned)["services"]["valkey"]["image"] == pinned


def test_compose_refuses_to_start_without_the_secrets(folder: Path) -> None:
    (folder / ".env").write_text("ALLOWED_HOSTS=localhost\n")
    with pytest.raises(AssertionError, match=r"set it in \.env"):
        config(folder)
