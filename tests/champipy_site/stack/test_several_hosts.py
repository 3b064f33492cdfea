"""Three hosts that share servers and no folder."""

import secrets
from collections.abc import Iterator

import pytest
import requests

from tests.support.load import COUNT, Load, counted, post, token_of
from tests.support.photos import drawn_photo
from tests.support.stack import eventually
from tests.support.topology import Topology, several_hosts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PHOTOS = 40


@pytest.fixture(scope="module")
def topology() -> Iterator[Topology]:
    with several_hosts() as topology:
        yield topology


def test_each_host_scores_what_any_web_takes(topology: Topology) -> None:
    tokens = {web: token_of(web) for web in topology.webs}
    load = Load(topology.webs, clients=8)
    load.start()
    assert eventually(lambda: len(load.ids) >= PHOTOS, 300)
    load.stop()
    assert (load.unexpected, load.given_up) == ([], [])
    states = counted(topology.hosts["first"]("shell", "-c", COUNT).stdout)
    assert states["states"] == {"done": len(load.ids)}
    for name, host in topology.hosts.items():
        assert "(done)" in host.home.log("inference").read_text(), f"{name} has scored nothing"
    for web, token in tokens.items():
        headers = {"Authorization": f"Token {token}"}
        for prediction in list(load.ids.values())[:5]:
            url = f"{web}/api/v1/predictions/{prediction}/photo"
            shown = requests.get(url, headers=headers, timeout=30)
            assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/jpeg")


def test_hosts_share_no_folder(topology: Topology) -> None:
    for host in topology.hosts.values():
        for folder in ("media", "incoming", "models"):
            path = host.home.path / folder
            assert [each for each in path.rglob("*") if each.is_file()] == []


def test_the_others_go_on_when_a_host_is_gone(topology: Topology) -> None:
    token = token_of(topology.webs[0])
    topology.kill_supervisor("third")
    for process in topology.hosts["third"].processes():
        process.kill()
    for number in range(6):
        answer = post(topology.webs[0], drawn_photo(990_000 + number), token, secrets.token_hex(16))
        assert answer is not None
        assert answer.status_code == 200, answer.text
    topology.start("third")
