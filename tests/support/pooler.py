"""Runs a PgBouncer that pools transactions in front of the tests' PostgreSQL."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from champipy_site.stack.ports import choose_port
from champipy_site.stack.postgresql import connection_parameters

SESSIONS = 3
"""Of the pooler at PostgreSQL, for each database: few, so that clients get those of others."""
INI = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 500
query_wait_timeout = 30
server_round_robin = 1
server_login_retry = 1
"""


@contextmanager
def pooler(server: dict[str, Any]) -> Iterator[int]:
    """Yield the port of a PgBouncer in front of a server, given by its settings in Django.

    Each transaction gets the session that was used least recently, so what is left behind in a
    session is missed at once. Skips the test where PgBouncer is not installed.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed (Debian: apt install pgbouncer)")
    folder = Path(tempfile.mkdtemp(prefix="champipy-pooler-"))
    port = choose_port()
    (folder / "users.txt").write_text(f'"{server["USER"]}" "{server["PASSWORD"]}"\n')
    (folder / "pgbouncer.ini").write_text(
        INI.format(
            host=server["HOST"],
            port=server["PORT"],
            own_port=port,
            folder=folder,
            sessions=SESSIONS,
        )
    )
    command = [program, "-q"]
    if os.geteuid() == 0:  # it refuses to run as root
        nobody = pwd.getpwnam("nobody")
        for path in (folder, *folder.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        command += ["-u", "nobody"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, folder / "pgbouncer.ini"], stdout=log, stderr=log, cwd="/"
        )
    try:
        _wait(pooled_url(server, port, "postgres"), folder / "log")
        yield port
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def pooled_url(server: dict[str, Any], port: int, name: str) -> str:
    """Return the URL of a database of the server, by a port of this machine."""
    return f"postgres://{server['USER']}:{server['PASSWORD']}@127.0.0.1:{port}/{name}"


def _wait(url: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg2.connect(**connection_parameters(url)).close()
        except psycopg2.Error:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return
