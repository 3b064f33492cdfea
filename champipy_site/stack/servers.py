"""PostgreSQL and Valkey, embedded or named by DATABASE_URL and REDIS_URL."""

import os
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from champipy_site.stack import logs, postgresql, valkey
from champipy_site.stack.ports import choose_port
from champipy_site.stack.postgresql import PostgreSQL, database_answers
from champipy_site.stack.process import Child
from champipy_site.stack.state import Home, StackError
from champipy_site.stack.valkey import Valkey, broker_answers

MAX_START_SECONDS = 120.0


class StartError(StackError):
    """A process did not come up; the message ends with the last lines of its log."""

    def __init__(self, child: Child, what: str) -> None:
        tail = "\n".join(f"    {line}" for line in logs.last_lines(child.log, 15))
        super().__init__(
            f"{child.service.name} {what}. Last lines of {child.log}:\n{tail or '    (no lines)'}"
        )


def make_servers(
    home: Home, ports: dict[str, int], given: dict[str, str]
) -> tuple[list[Child], dict[str, str], dict[str, int]]:
    """Prepare an embedded server for each URL that `given` lacks.

    Return the processes to start, the URLs of all servers, and the ports to keep for the next time.
    """
    # Empty instead of missing, so that `.env` does not bring it back.
    children, urls, chosen = [], {"DATABASE_DIRECT_URL": "", **given}, {}
    for variable, name, kind in (
        ("DATABASE_URL", postgresql.NAME, PostgreSQL),
        ("REDIS_URL", valkey.NAME, Valkey),
    ):
        if variable not in given:
            chosen[name] = choose_port(ports.get(name))
            server = kind(home, chosen[name])
            server.prepare()
            urls[variable] = server.url
            children.append(Child(server.service(), home.log(name)))
    return children, urls, chosen


def given_urls(prefix: str = "") -> dict[str, str]:
    """Return DATABASE_URL and REDIS_URL if the environment has them and they are not empty.

    DATABASE_DIRECT_URL comes with DATABASE_URL, if there is one. Raise StackError if it is alone.
    """
    names = ("DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL")
    given = {name: value for name in names if (value := os.environ.get(prefix + name))}
    if "DATABASE_DIRECT_URL" in given and "DATABASE_URL" not in given:
        raise StackError(
            f"{prefix}DATABASE_DIRECT_URL is set, but {prefix}DATABASE_URL is not. Set both, to "
            "PostgreSQL itself and to the pooler in front of it, or neither."
        )
    return given


def session_url(urls: dict[str, str]) -> str:
    """Return the URL of the database for what needs a session of its own, past a pooler."""
    return urls.get("DATABASE_DIRECT_URL") or urls["DATABASE_URL"]


def check_shared(given: dict[str, str]) -> None:
    """Raise StackError unless this machine and the others have the same servers and secret."""
    shared = {**os.environ, **given}
    names = ("DATABASE_URL", "REDIS_URL", "CHAMPIPY_STORAGE_URL", "SECRET_KEY")
    missing = [name for name in names if not shared.get(name)]
    if missing:
        raise StackError(
            f"--only starts a part of ChampiPy beside those of other machines. Set {missing[0]} to "
            "the same value on all of them, in the environment or in .env. docs/scaling.md has an "
            "example."
        )


def check_given(given: dict[str, str]) -> None:
    """Raise StackError for a server in `given` that does not answer."""
    for variable, answers in (
        ("DATABASE_URL", database_answers),
        ("DATABASE_DIRECT_URL", database_answers),
        ("REDIS_URL", broker_answers),
    ):
        if given.get(variable) and not answers(given[variable]):
            url = urlsplit(given[variable])
            raise StackError(
                f"The server that {variable} names ({url.hostname}, port {url.port}) does not "
                "answer, or refuses the user name and password. Start or correct it, or unset "
                f"{variable}, so that ./champipy runs its own server."
            )


def wait_for(
    children: list[Child],
    *,
    on_up: Callable[[Child], None],
    pause: Callable[[float], None] = time.sleep,
    seconds: float = MAX_START_SECONDS,
) -> None:
    """Wait until all processes answer; raise StartError for one that ends or takes too long.

    `pause` may raise an exception to stop waiting.
    """
    waiting = list(children)
    began = time.monotonic()
    while waiting:
        for child in waiting:
            pause(0)  # handles signals, as checking a process may take a second
            if (code := child.exit_code()) is not None:
                raise StartError(child, f"ended during its start with exit code {code}")
            child.check()
            if child.state == "up":
                on_up(child)
            elif time.monotonic() - began > seconds:
                raise StartError(child, f"did not answer within {seconds:.0f} s")
        waiting = [child for child in waiting if child.state != "up"]
        if waiting:
            pause(0.1)
