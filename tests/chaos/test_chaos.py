"""Kills, stops, fills and delays every process and server under load, and counts.

    ./champipy test -m chaos

Nothing may be lost, doubled or stuck, and the service is back soon after each. It takes some ten
minutes, and prints what it did. With CHAMPIPY_CHAOS_MINUTES it goes on for as many minutes, with
the faults in another order each time.
"""

import itertools
import os
import random
import secrets
import signal
import statistics
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.support.disks import fill
from tests.support.load import COUNT, Load, counted, post, seconds_until, token_of
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo
from tests.support.topology import Topology, several_hosts

MINUTES = float(os.environ.get("CHAMPIPY_CHAOS_MINUTES", "0"))
"""Each fault happens once, and again until these are over."""
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800 + 60 * MINUTES)]

BACK_S = 15.0
STOPPED_S = 8.0
"""How long a stopped process stays stopped."""
BETWEEN_S = 5.0
SUPERVISED = [
    ("first", name)
    for name in (
        *("postgresql", "valkey", "beat", "web", "fetch", "monitoring", "inference", "training"),
    )
] + [("second", "web"), ("second", "fetch"), ("second", "inference"), ("third", "inference")]

Fault = Callable[[Topology], object]


URLS = 300 + int(60 * MINUTES)
"""Photos that clients ask for by URL; each has another."""


@pytest.fixture(scope="module")
def photo_server() -> Iterator[PhotoServer]:
    files = {f"{number}.jpg": drawn_photo(500_000 + number) for number in range(URLS)}
    with PhotoServer(files=files) as server:
        yield server


@pytest.fixture(scope="module")
def topology(photo_server: PhotoServer) -> Iterator[Topology]:
    settings = {
        "CHAMPIPY_FETCH_ALLOW": photo_server.address,
        "CHAMPIPY_DAILY_PREDICTIONS": "1000000",  # an hour of load is more than a day's quota
    }
    with several_hosts(**settings) as topology:
        yield topology


def tree(topology: Topology, host: str, name: str) -> list[psutil.Process]:
    """Return a process and its children."""
    process = topology.process(host, name)
    return [process, *process.children(recursive=True)]


def killed(host: str, name: str) -> Fault:
    """Return what kills a process as if it had crashed; its children notice that or not."""

    def kill(topology: Topology) -> None:
        topology.process(host, name).kill()

    return kill


def killed_child(host: str, name: str) -> Fault:
    def kill(topology: Topology) -> None:
        for child in topology.process(host, name).children():
            child.kill()

    return kill


def stopped(host: str, name: str) -> Fault:
    """Return what stops a process and its children for some seconds: they answer nothing."""

    def stop(topology: Topology) -> None:
        processes = tree(topology, host, name)
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED_S)
        for process in processes:
            if process.is_running():
                process.send_signal(signal.SIGCONT)

    return stop


def killed_supervisor(topology: Topology) -> None:
    """Kill a host's supervisor, and start the host again."""
    topology.kill_supervisor("third")
    topology.start("third")


def delayed(topology: Topology) -> None:
    """Delay all that the second and third hosts say to the servers, both ways."""
    for proxy in topology.proxies.values():
        proxy.delay_s = 0.1
    time.sleep(STOPPED_S)
    for proxy in topology.proxies.values():
        proxy.delay_s = 0.0


def cut(topology: Topology) -> None:
    """Cut the connections of the second and third hosts to the servers, again and again."""
    for _ in range(4):
        for proxy in topology.proxies.values():
            proxy.cut()
        time.sleep(2)


def silent_store(topology: Topology) -> None:
    """Have the object store answer nobody."""
    topology.proxies["store"].flows.clear()
    time.sleep(STOPPED_S)
    topology.proxies["store"].flows.set()


def full_disk(topology: Topology) -> None:
    """Leave the servers of the first host no free byte; without a disk of their own, nothing."""
    if topology.disk is None:
        print("    only root, with the right to mount, can make a disk to be filled")
        return
    filler = fill(topology.disk)
    time.sleep(STOPPED_S)
    filler.unlink()


FAULTS: dict[str, Fault] = {
    **{f"kill {name} of {host}": killed(host, name) for host, name in SUPERVISED},
    "kill what scores on the first": killed_child("first", "inference"),
    "kill what scores on the third": killed_child("third", "inference"),
    **{
        f"stop {name} of {host}": stopped(host, name)
        for host, name in (
            ("first", "postgresql"),
            ("first", "valkey"),
            ("first", "beat"),
            ("second", "web"),
            ("second", "fetch"),
            ("first", "monitoring"),
            ("third", "inference"),
        )
    },
    "kill the supervisor of the third": killed_supervisor,
    "delay the servers": delayed,
    "cut connections to the servers": cut,
    "stop the object store": silent_store,
    "fill the disk of the servers": full_disk,
}


def faults_for(minutes: float) -> Iterator[str]:
    """Yield the names of all faults in their order, then shuffled until the time is over."""
    deadline, order = time.monotonic() + 60 * minutes, random.Random(1)
    yield from FAULTS
    while time.monotonic() < deadline:
        yield from order.sample(list(FAULTS), len(FAULTS))


def test_nothing_is_lost_doubled_or_stuck(
    topology: Topology, photo_server: PhotoServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """All faults in turn, under load that never pauses."""
    tokens = {web: token_of(web) for web in topology.webs}
    load = Load(topology.webs, photo_server=photo_server)
    load.start()
    backs: dict[str, list[float]] = {name: [] for name in FAULTS}
    numbers = itertools.count(900_000)
    codes: list[int] = []

    def is_well() -> bool:
        """Return whether each web answers a new photo within five seconds."""
        answers = [
            post(web, drawn_photo(next(numbers)), token, secrets.token_hex(16), wait_s=5)
            for web, token in tokens.items()
        ]
        codes[:] = [0 if answer is None else answer.status_code for answer in answers]
        return set(codes) == {200}

    try:
        time.sleep(BETWEEN_S)
        for name in faults_for(MINUTES):
            FAULTS[name](topology)
            try:
                backs[name].append(seconds_until(is_well, 120))
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}; the last answers were {codes}") from error
            with capsys.disabled():
                print(f"    {name}: back after {backs[name][-1]:.1f} s", flush=True)
            time.sleep(BETWEEN_S)
    finally:
        load.stop()
    first = topology.hosts["first"]

    def is_all_answered() -> bool:
        states = counted(first("shell", "-c", COUNT).stdout)["states"]
        return set(states) == {"done"}

    seconds_until(is_all_answered, 180)
    rows = counted(first("shell", "-c", COUNT).stdout)
    with capsys.disabled():
        print(f"    {len(load.ids)} requests accepted, answers by status: {dict(load.codes)}")
        print(f"    {rows['states']}, {rows['photos']} photos, {rows['inferences']} inferences")
        for name, seconds in backs.items():
            median, longest = statistics.median(seconds), max(seconds)
            print(f"    {name}: {len(seconds)} times, back after {median:.1f} to {longest:.1f} s")
        print(f"    {len(topology.store.keys('incoming/'))} files left for the hourly sweep")
    assert load.unexpected == []
    assert load.given_up == []
    assert len(set(load.ids.values())) == len(load.ids), "one prediction for each request"
    assert set(load.ids.values()) <= set(rows["ids"]), "no accepted request is lost"
    assert len(rows["ids"]) >= len(load.ids)
    assert rows["inferences"] == rows["photos"], "each photo is scored once"
    left = topology.store.keys("incoming/")
    happened = sum(len(seconds) for seconds in backs.values())
    assert len(left) <= happened, "only what a dead process had in hand, for the hourly sweep"
    late = {name: seconds for name, seconds in backs.items() if max(seconds) > BACK_S}
    assert not late, late


def test_hosts_share_no_folder(topology: Topology) -> None:
    """Whatever a web has taken, another host scores it, and the other web shows it."""
    for host in topology.hosts.values():
        photos = [path for path in (host.home.path / "media").rglob("*") if path.is_file()]
        assert photos == []
        assert [*(host.home.path / "incoming").iterdir()] == []
