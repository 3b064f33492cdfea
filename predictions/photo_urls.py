"""Says what the URL of a photo means, and whether it may be fetched, without any network.

One strict parser for the whole project. What it does not understand, or what two programs could
understand differently (127.1, 0x7f000001, user@host, backslashes), is refused rather than mended.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

import idna

MAX_URL_LENGTH = 2048

_PORTS = {"http": 80, "https": 443}
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[^\s/?#@:%\\\[\]]+)"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>[/?][^#]*)?(?:#.*)?",
    re.IGNORECASE | re.ASCII,
)
_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\\]")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")  # a last label that makes any resolver see IPv4
_LOCAL_NAMES = (".localhost", ".local", ".internal", ".home.arpa")

# What `ipaddress` (3.11) calls global, and is not for us.
_NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # a cloud's host agent, on a public address
        "2001::/23",  # Teredo, ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries any IPv4 address
        "3fff::/20",  # documentation
    )
]
# All that is public in IPv6. Leaves out mapped and compatible IPv4, NAT64, link-local, multicast.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")

_MO_PATH = re.compile(r"(/images)?/(thumb|320|640|960|1280|orig)/([0-9]{1,12})\.[a-z]{3,4}", re.I)
_MO_HOSTS = {
    "mushroomobserver.org": True,  # with /images before the size
    "www.mushroomobserver.org": True,
    "images.mushroomobserver.org": False,
}


class FetchError(Exception):
    """Why a URL gave no photo.

    `code` is one of url_forbidden, image_not_found, image_too_large, image_timeout and
    image_unreachable; `detail` says it to the user, and never names an address that was looked up.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def forbidden(reason: str) -> FetchError:
    """Make the error for a URL that is refused; `reason` is a clause with its full stop."""
    detail = f"This URL can't be used: {reason} Give another one, or upload the photo."
    return FetchError("url_forbidden", detail)


@dataclass(frozen=True)
class PhotoURL:
    """What a URL says: all that checking and fetching go by."""

    scheme: str  # "http" or "https"
    host: str  # lower-case ASCII name, or an address; IPv6 without brackets
    port: int
    path: str  # with its query, percent-encoded

    @property
    def address(self) -> str:
        """`host:port`, as in the list of allowed addresses."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL written in one way only: no default port, no fragment."""
        port = f":{self.port}"
        address = self.address.removesuffix(port) if self.port == _PORTS[self.scheme] else None
        return f"{self.scheme}://{address or self.address}{self.path}"


def check_url(url: str, *, allow: frozenset[str] = frozenset()) -> None:
    """Refuse a URL that can't be fetched whatever its host answers. Looks nothing up.

    `allow` holds addresses `host:port` that may be fetched although they are private or have
    another port. Raises FetchError("url_forbidden"). Names are vetted later, by `fetch_photo`.
    """
    check_target(parse_url(url), allow)


def mushroom_observer_image_id(url: str) -> int | None:
    """Return the id of the Mushroom Observer image that `url` shows, in whatever size, or None."""
    try:
        match = _mushroom_observer_match(parse_url(url))
    except FetchError:
        return None
    return int(match[3]) if match else None


def canonical_photo_key(url: str) -> str:
    """Return the key under which what `url` gave is remembered. FetchError if it is no URL.

    `mushroomobserver:<id>` for any size and host of one of its images; else the URL as it is
    fetched: scheme and host in lower case, no default port, no fragment.
    """
    target = parse_url(url)
    match = _mushroom_observer_match(target)
    return f"mushroomobserver:{int(match[3])}" if match else target.url


def parse_url(url: str) -> PhotoURL:
    """Read a URL, or refuse it with FetchError("url_forbidden"). Doesn't judge host and port."""
    if len(url) > MAX_URL_LENGTH:
        raise forbidden(f"it is longer than {MAX_URL_LENGTH} characters.")
    if _NOT_IN_A_URL.search(url):
        raise forbidden("it contains spaces, backslashes or control characters.")
    match = _URL.fullmatch(url)
    if match is None:
        raise forbidden("it is not like https://host/photo.jpg, or has a user name in it.")
    scheme = match["scheme"].lower()
    port = int(match["port"] or _PORTS[scheme])
    path = quote(match["path"] or "/", safe="%/?:@!$&'()*+,;=~[]|", errors="replace")
    return PhotoURL(scheme, _host(match["host"]), port, path if path[0] == "/" else f"/{path}")


def _host(raw: str) -> str:
    """Return a host in the one way of writing it that is accepted: refuse 127.1, 0x7f000001, …."""
    try:
        if raw.startswith("["):
            return str(ipaddress.IPv6Address(raw[1:-1]))
        host = (raw if raw.isascii() else idna.encode(raw, uts46=True).decode()).lower()
        host = host.removesuffix(".")
        if _NUMBER.fullmatch(host.rpartition(".")[2]):
            return str(ipaddress.IPv4Address(host))
    except ValueError as exc:  # idna's errors are ValueErrors too
        raise forbidden("its host is neither a name nor a plain address.") from exc
    if not _NAME.fullmatch(host):
        raise forbidden("its host is not a name.")
    return host


def check_target(target: PhotoURL, allow: frozenset[str]) -> None:
    """Do what `check_url` does, for a URL that has been read."""
    if target.address in allow:
        return
    if target.port not in _PORTS.values():
        raise forbidden("only ports 80 and 443 are fetched from.")
    address = literal_address(target.host)
    if address is None:
        local = "." not in target.host or target.host.endswith(_LOCAL_NAMES)
    else:
        local = not is_public(address)
    if local:
        raise forbidden("its host is not public.")


def literal_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that `host` is, None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether an address belongs to a host on the Internet, and to nothing else."""
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    special = address.is_multicast or any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not special


def _mushroom_observer_match(target: PhotoURL) -> re.Match[str] | None:
    """Match a Mushroom Observer image: group 2 is its size, group 3 its id."""
    if target.host not in _MO_HOSTS or target.port not in _PORTS.values():
        return None
    path = re.sub("/+", "/", unquote(target.path.partition("?")[0]))
    match = _MO_PATH.fullmatch(path)
    return match if match and bool(match[1]) == _MO_HOSTS[target.host] else None


def smaller_original(target: PhotoURL) -> PhotoURL:
    """Return the 1280 px version of a Mushroom Observer original: they ask not to load those."""
    match = _mushroom_observer_match(target)
    if match is None or match[2].lower() != "orig":
        return target
    path = f"{match[1] or ''}/1280/{match[3]}.jpg"
    return PhotoURL(target.scheme, target.host, target.port, path)
