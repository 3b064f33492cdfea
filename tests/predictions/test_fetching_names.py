"""Fetching from names that resolve to forbidden addresses, and over TLS, with a fake resolver."""

import http.server
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from predictions import http_client
from predictions.fetching import fetch_photo
from tests.support.fetching import MAX_DELAY_S, PHOTO, refusal
from tests.support.photo_server import PhotoServer

PUBLIC = "93.184.215.14"
NAME = "photos.example.org"


@pytest.fixture
def resolve(monkeypatch):
    """Return a function that fakes lookups: it takes one list of addresses for each lookup.

    The last list (or an exception to raise) counts for all further lookups. The function returns
    the list of looked-up hosts.
    """

    def resolve(*answers):
        lookups = []

        def getaddrinfo(host, port, *args, **kwargs):
            lookups.append(host)
            addresses = answers[min(len(lookups), len(answers)) - 1]
            if isinstance(addresses, Exception):
                raise addresses
            return [_address_info(address, port) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return lookups

    return resolve


def _address_info(address, port):
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)


@pytest.fixture
def connects(monkeypatch):
    """Refuse all connections, and return the list of addresses that were tried."""
    tried = []

    def connect(self, address):
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["0.0.0.0"],
        ["224.0.0.1"],
        ["::1"],
        ["::"],
        ["::127.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["::ffff:93.184.215.14"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::"],
        ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
        ["fd00:ec2::254"],
        ["fe80::1"],
        ["fe80::1%eth0"],
        [PUBLIC, "127.0.0.1"],
        ["2606:4700:4700::1111", "::1"],
        [PUBLIC] * 20 + ["192.168.0.1"],
    ],
    ids=lambda addresses: ",".join(addresses[-2:]),
)
def test_name_with_a_non_public_address_is_refused(resolve, connects, addresses):
    resolve(addresses)
    assert refusal(fetch_photo, f"http://{NAME}/a.jpg") == "url_forbidden"
    assert connects == []


def test_the_checked_address_is_the_one_connected_to(resolve, connects):
    lookups = resolve([PUBLIC], ["127.0.0.1"])
    assert refusal(fetch_photo, f"https://{NAME}/a.jpg") == "image_unreachable"
    assert lookups == [NAME]
    assert connects == [(PUBLIC, 443)]


def test_at_most_four_addresses_are_tried(resolve, connects):
    resolve(["2606:4700:4700::1111", *[PUBLIC] * 9])
    assert refusal(fetch_photo, f"http://{NAME}/a.jpg") == "image_unreachable"
    assert connects == [("2606:4700:4700::1111", 80, 0, 0), *[(PUBLIC, 80)] * 3]


def test_redirect_to_a_name_is_checked_again(resolve):
    with PhotoServer() as server:
        lookups = resolve(["127.0.0.1"], ["10.1.2.3"])
        url = server.url(f"redirect-to?url=http://{NAME}/")
        assert refusal(fetch_photo, url, allow=frozenset({server.address})) == "url_forbidden"
    assert lookups == ["127.0.0.1", NAME]


def test_name_can_be_allowed_with_its_port(resolve):
    with PhotoServer(files={"a.jpg": PHOTO}) as server:
        resolve(["127.0.0.1"])
        address = server.address.replace("127.0.0.1", "photos")
        assert fetch_photo(f"http://{address}/a.jpg", allow=frozenset({address})) == PHOTO
        assert server.headers["Host"] == address


@pytest.mark.parametrize(
    ("errno", "code"),
    [(socket.EAI_NONAME, "image_not_found"), (socket.EAI_AGAIN, "image_unreachable")],
)
def test_name_that_cannot_be_looked_up(resolve, errno, code):
    resolve(socket.gaierror(errno, "no"))
    assert refusal(fetch_photo, f"http://{NAME}/a.jpg") == code


def test_slow_resolver_is_not_waited_for(monkeypatch):
    answered = threading.Event()
    threads = threading.active_count()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: answered.wait(20) and [])
    started = time.monotonic()
    assert refusal(fetch_photo, f"http://{NAME}/", deadline_s=0.5) == "image_timeout"
    assert time.monotonic() - started < MAX_DELAY_S
    answered.set()
    while threading.active_count() > threads and time.monotonic() < started + 10:
        time.sleep(0.01)
    assert threading.active_count() == threads


@pytest.fixture
def tls_server(tmp_path, resolve):
    """Serve PHOTO over TLS under NAME, with a self-signed certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("makes a certificate with the openssl command")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    make += [
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={NAME}",
        "-addext",
        f"subjectAltName=DNS:{NAME}",
    ]
    make += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True)

    closing = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            for at in range(len(PHOTO)):
                self.wfile.write(PHOTO[at : at + 1] if self.path == "/drip" else PHOTO[at:])
                if self.path != "/drip" or closing.wait(0.2):
                    break

        def log_message(self, format, *args):
            pass

    class Server(http.server.HTTPServer):
        names: list[str | None] = []

        def handle_error(self, request, client_address):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    server.names = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda sock, name, context: server.names.append(name)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    resolve(["127.0.0.1"])
    yield server, certificate
    closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_tls_uses_the_name_and_verifies_the_certificate(tls_server, monkeypatch):
    server, certificate = tls_server
    address = f"{NAME}:{server.server_port}"
    url, allow = f"https://{address}/a.jpg", frozenset({address})
    assert refusal(fetch_photo, url, allow=allow) == "image_unreachable"  # self-signed

    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(http_client, "_tls_context", lambda: trusting)
    assert fetch_photo(url, allow=allow) == PHOTO
    assert server.names == [NAME, NAME]

    started = time.monotonic()
    drip = f"https://{address}/drip"
    assert refusal(fetch_photo, drip, allow=allow, deadline_s=0.7) == "image_timeout"
    assert time.monotonic() - started < MAX_DELAY_S

    other = f"other.example.org:{server.server_port}"
    code = refusal(fetch_photo, f"https://{other}/a.jpg", allow=frozenset({other}))
    assert code == "image_unreachable"  # the certificate is for another name


def test_unfinished_tls_handshake_is_cut_off_at_the_deadline(resolve):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        resolve(["127.0.0.1"])
        address = f"{NAME}:{silent.getsockname()[1]}"
        started = time.monotonic()
        code = refusal(
            fetch_photo, f"https://{address}/", allow=frozenset({address}), deadline_s=0.5
        )
        assert code == "image_timeout"
        assert time.monotonic() - started < MAX_DELAY_S
