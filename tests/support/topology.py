"""Several hosts on one machine: homes and processes that share servers, and no folder."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from environ import Env

from champipy_site.stack.state import read_state
from tests.support.delays import TcpProxy, tcp_proxy
from tests.support.disks import disk
from tests.support.object_stores import CREDENTIALS, ObjectStore, running_store
from tests.support.pooler import pooler
from tests.support.stack import Stack, empty_stack, eventually

OTHER_HOSTS = {"second": "web,fetch,inference", "third": "inference"}
"""What runs beside the first host, which has everything."""
DISK_MB = 2000


@dataclass
class Topology:
    """Hosts by their names: `first` has the servers and one of each process."""

    hosts: dict[str, Stack]
    store: ObjectStore
    proxies: dict[str, TcpProxy]
    """Before the object store, and before the servers of the hosts but the first."""
    disk: Path | None
    """That of the first host, with its servers, where one can be made."""

    @property
    def webs(self) -> list[str]:
        """The addresses of the web processes."""
        return [self.hosts[name].url for name in ("first", "second")]

    def process(self, host: str, name: str) -> psutil.Process:
        """Return a process that a host's supervisor has started, once it runs again."""
        home = self.hosts[host].home

        def runs() -> bool:
            return psutil.pid_exists(read_state(home).processes[name].pid)

        assert eventually(runs), f"{name} of the {host} host is not started again"
        return psutil.Process(read_state(home).processes[name].pid)

    def start(self, host: str) -> None:
        """Start a host's processes; the first host must be up."""
        only = OTHER_HOSTS.get(host)
        stack = self.hosts[host]
        arguments = ("--only", only) if only else ()
        done = stack("up", "--detach", "--port", str(stack.port), *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def kill_supervisor(self, host: str) -> None:
        psutil.Process(read_state(self.hosts[host].home).supervisor).kill()


@contextmanager
def several_hosts(kind: str = "rclone", **settings: str) -> Iterator[Topology]:
    """Start three hosts with an object store of this kind, and a pooler for all but the first.

    Skips the test where PgBouncer is not installed. `settings` are environment variables of all.
    """
    shared = {"SECRET_KEY": secrets.token_urlsafe(50), **CREDENTIALS, **settings}
    with ExitStack() as stack:
        store = stack.enter_context(running_store(kind))
        proxies = {"store": stack.enter_context(tcp_proxy(store.port))}
        shared["CHAMPIPY_STORAGE_URL"] = store.url(address=f"127.0.0.1:{proxies['store'].port}")
        of_first = stack.enter_context(disk(DISK_MB))
        first = empty_stack(of_first, CHAMPIPY_NODE="first", **shared)
        topology = Topology(
            hosts := {"first": stack.enter_context(first)}, store, proxies, of_first
        )
        topology.start("first")
        urls = read_state(hosts["first"].home).environment
        database = Env.db_url_config(urls["DATABASE_URL"])
        pooler_port = stack.enter_context(pooler(database))
        broker_port = urlsplit(urls["REDIS_URL"]).port or 0
        for name, port in (("pooler", pooler_port), ("broker", broker_port)):
            proxies[name] = stack.enter_context(tcp_proxy(port))
        shared |= {
            "DATABASE_DIRECT_URL": urls["DATABASE_URL"],
            "DATABASE_URL": with_port(urls["DATABASE_URL"], proxies["pooler"].port),
            "REDIS_URL": with_port(urls["REDIS_URL"], proxies["broker"].port),
        }
        for name in OTHER_HOSTS:
            hosts[name] = stack.enter_context(empty_stack(CHAMPIPY_NODE=name, **shared))
            topology.start(name)
        yield topology


def with_port(url: str, port: int) -> str:
    """Return a URL with another port."""
    return url.replace(f":{urlsplit(url).port}/", f":{port}/")
