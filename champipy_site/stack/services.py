"""ChampiPy's own processes: web, the workers and beat."""

import http.client
import os
import socket

from kombu.exceptions import KombuError
from redis import RedisError

from champipy_site.process_secrets import unneeded_secrets
from champipy_site.stack.environment import PROJECT, PYTHON
from champipy_site.stack.process import Service
from champipy_site.stack.valkey import broker_answers

FETCH_THREADS = 32
MONITORING_THREADS = 4
INFERENCE_PROCESSES = 1
INFERENCE_MEMORY_KB = 700_000
"""A child whose memory ever exceeded this is replaced, which stops scoring for seconds. At rest it
has 180 MB; the largest photos, of 25 megapixels, take 400 MB more for a moment.
"""
STOP_SECONDS = 35  # of champipy_site/web/server.py

PROCESSES = ("beat", "web", "fetch", "monitoring", "inference", "training")

# Gossip, mingling and heartbeats inform workers about each other; nothing here uses that.
WORKER = [
    *("worker", "--loglevel", "INFO", "-O", "fair"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
]


def own_address(host: str, port: int) -> str:
    """Return the URL at which this machine reaches the web process, such as http://[::1]:80."""
    everywhere = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104
    host = everywhere.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def web_answers(address: str) -> bool:
    """Return whether Django answers at the address with a status below 500.

    Refusals and redirections count: behind a proxy, ALLOWED_HOSTS and HTTPS may refuse a request
    that comes directly from this machine.
    """
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=3)
    try:
        connection.request("GET", "/api/v1/status")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def node_answers(node: str) -> bool:
    """Return whether a Celery worker, or beat, answers a ping through the broker.

    Where the broker does not answer, nobody is asked: Celery would try for six seconds, in which
    the supervisor could not start the broker again.
    """
    from champipy_site.celery import app

    if not broker_answers(os.environ["REDIS_URL"]):
        return False
    try:
        return bool(app.control.ping(destination=[node], timeout=0.5))
    except (OSError, KombuError, RedisError):
        return False


def needed_by(process: str, environment: dict[str, str]) -> dict[str, str]:
    """Return the environment without the secrets that a process can do without.

    They are empty instead of missing, so that `.env` does not bring them back.
    """
    return {**environment, **dict.fromkeys(unneeded_secrets(process), "")}


def web(environment: dict[str, str], host: str, port: int) -> Service:
    """Return the web service: one process, which `champipy_site.web` describes."""
    address = own_address(host, port)
    return Service(
        name="web",
        command=[
            *(*PYTHON, "-m", "champipy_site.web"),
            *("--host", host, "--port", str(port)),
        ],
        environment=needed_by("web", environment),
        folder=PROJECT,
        answers=lambda: web_answers(address),
        stop_seconds=STOP_SECONDS + 3,
    )


def celery(name: str, environment: dict[str, str], arguments: list[str], nice: int = 0) -> Service:
    """Return a Celery service; `arguments` begin with `worker` or `beat`."""
    node = f"{name}@{environment.get('CHAMPIPY_NODE') or socket.gethostname()}"
    return Service(
        name=name,
        command=[*PYTHON, "-m", "celery", "-A", "champipy_site", *arguments, "-n", node],
        environment=needed_by(name, environment),
        folder=PROJECT,
        answers=lambda: node_answers(node),
        nice=nice,
    )


def all_services(environment: dict[str, str], host: str, port: int) -> list[Service]:
    """Return ChampiPy's services in the order in which they stop: beat, web, the workers.

    docker-compose.yml starts the same processes: change both.
    """
    beat = ["beat", "--loglevel", "INFO", "--enable-remote-control"]
    beat += ["--scheduler", "champipy_site.beat:SingleScheduler"]
    fetch = [*WORKER, "--queues", "fetch"]
    fetch += ["--pool", "threads", "--concurrency", str(FETCH_THREADS)]
    # A worker of its own: checks, alerts and resends never wait behind slow hosts.
    monitoring = [*WORKER, "--queues", "monitoring"]
    monitoring += ["--pool", "threads", "--concurrency", str(MONITORING_THREADS)]
    inference = [*WORKER, "--queues", "inference"]
    inference += ["--pool", "prefork", "--concurrency", str(INFERENCE_PROCESSES)]
    inference += ["--max-memory-per-child", str(INFERENCE_MEMORY_KB)]
    training = [*WORKER, "--queues", "training"]
    training += ["--pool", "prefork", "--concurrency", "1", "--max-tasks-per-child", "1"]
    return [
        celery("beat", environment, beat),
        web(environment, host, port),
        celery("fetch", environment, fetch),
        celery("monitoring", environment, monitoring),
        celery("inference", environment, inference),
        celery("training", environment, training, nice=10),
    ]
