"""Parses a photo's URL and decides whether it may be fetched, without using the network.

This is the project's only URL parser, and it is strict. Anything that it does not understand, or
that two programs could understand differently (127.1, 0x7f000001, user@host, backslashes), is
refused, not corrected.
"""

import functools
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

import idna
from django.conf import settings

from common.messages import Message, Text

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
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")  # a resolver reads a name with this last label as IPv4
_LOCAL_NAMES = (".localhost", ".local", ".internal", ".home.arpa")

# Networks that `ipaddress` (Python 3.11) calls global, but which must not be fetched from.
_NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments; metadata of a cloud provider
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # a cloud provider's host agent, on a public address
        "2001::/23",  # Teredo, ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries any IPv4 address
        "3fff::/20",  # documentation
    )
]
# All public IPv6 addresses. Excludes mapped and compatible IPv4, NAT64, link-local and multicast.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")

_MO_PATH = re.compile(r"(/images)?/(thumb|320|640|960|1280|orig)/([0-9]{1,12})\.[a-z]{3,4}", re.I)
_MO_HOSTS = {
    "mushroomobserver.org": True,
    "www.mushroomobserver.org": True,
    "images.mushroomobserver.org": False,
}
"""Hosts of Mushroom Observer. True: /images comes before the size."""


class FetchError(Exception):
    """A URL that can't be fetched.

    `code` is url_forbidden, image_not_found, image_too_large, image_timeout or image_unreachable.
    `detail` is a message for the user; it never contains an address that was looked up.
    """

    def __init__(self, code: str, detail: Text) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def forbidden(reason: Message) -> FetchError:
    """Return the error for a refused URL. `reason` is a clause with a full stop."""
    detail = Message(
        "This URL can't be used: %(reason)s Give another one, or upload the photo.", reason=reason
    )
    return FetchError("url_forbidden", detail)


@dataclass(frozen=True)
class PhotoURL:
    """A parsed URL. Checking and fetching use only these fields."""

    scheme: str  # "http" or "https"
    host: str  # lower-case ASCII name, or an address; IPv6 without brackets
    port: int
    path: str  # with its query, percent-encoded

    @property
    def address(self) -> str:
        """`host:port`, as in CHAMPIPY_FETCH_ALLOW."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL in its canonical form: no default port, no fragment."""
        port = f":{self.port}"
        address = self.address.removesuffix(port) if self.port == _PORTS[self.scheme] else None
        return f"{self.scheme}://{address or self.address}{self.path}"


def check_url(url: str, *, allow: frozenset[str] = frozenset()) -> None:
    """Raise FetchError("url_forbidden") if a URL may not be fetched. No name is looked up.

    `allow` holds addresses `host:port` that may be fetched although they are private or use another
    port than 80 and 443. The addresses of a name are checked later, by `fetch_photo`.
    """
    check_target(parse_url(url), allow)


def mushroom_observer_image_id(url: str) -> int | None:
    """Return the id of the Mushroom Observer image at `url` (in any size), or None.

    Mushroom Observer is the site at CHAMPIPY_MUSHROOM_OBSERVER_URL.
    """
    try:
        target = parse_url(url)
    except FetchError:
        return None
    match = _mushroom_observer_match(target) if _is_of_the_site(target) else None
    return int(match[3]) if match else None


def canonical_photo_key(url: str) -> str:
    """Return the key under which the photo at `url` is remembered.

    For a Mushroom Observer image of any size, on any of its hosts, this is `mushroomobserver:<id>`.
    For other URLs it is the canonical URL: scheme and host in lower case, no default port, no
    fragment. Raises FetchError if `url` is not a URL.
    """
    image_id = mushroom_observer_image_id(url)
    return parse_url(url).url if image_id is None else f"mushroomobserver:{image_id}"


@functools.lru_cache(maxsize=256)
def parse_url(url: str) -> PhotoURL:
    """Return the parsed URL. Host and port are not checked.

    The result is kept: each step of a prediction asks for it several times.
    Raises FetchError("url_forbidden") if it can't be parsed.
    """
    if len(url) > MAX_URL_LENGTH:
        raise forbidden(Message("it is longer than %(limit)d characters.", limit=MAX_URL_LENGTH))
    if _NOT_IN_A_URL.search(url):
        raise forbidden(Message("it contains spaces, backslashes or control characters."))
    match = _URL.fullmatch(url)
    if match is None:
        raise forbidden(
            Message("it does not look like https://host/photo.jpg, or contains a user name.")
        )
    scheme = match["scheme"].lower()
    port = int(match["port"] or _PORTS[scheme])
    path = quote(match["path"] or "/", safe="%/?:@!$&'()*+,;=~[]|", errors="replace")
    return PhotoURL(scheme, _host(match["host"]), port, path if path[0] == "/" else f"/{path}")


def _host(raw: str) -> str:
    """Return a host in its canonical form. Raises FetchError for 127.1, 0x7f000001 and the like."""
    try:
        if raw.startswith("["):
            return str(ipaddress.IPv6Address(raw[1:-1]))
        host = (raw if raw.isascii() else idna.encode(raw, uts46=True).decode()).lower()
        host = host.removesuffix(".")
        if _NUMBER.fullmatch(host.rpartition(".")[2]):
            return str(ipaddress.IPv4Address(host))
    except ValueError as exc:  # idna's errors are ValueErrors too
        raise forbidden(Message("its host is neither a name nor a plain address.")) from exc
    if not _NAME.fullmatch(host):
        raise forbidden(Message("its host is not a valid name."))
    return host


def check_target(target: PhotoURL, allow: frozenset[str]) -> None:
    """Do the same as `check_url` for a parsed URL."""
    if target.address in allow:
        return
    if target.port not in _PORTS.values():
        raise forbidden(Message("only ports 80 and 443 are allowed."))
    address = literal_address(target.host)
    if address is None:
        is_local = "." not in target.host or target.host.endswith(_LOCAL_NAMES)
    else:
        is_local = not is_public(address)
    if is_local:
        raise forbidden(Message("its host is not public."))


def literal_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return `host` as an address, or None if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether an address can only belong to a host on the public Internet."""
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    is_special = address.is_multicast or any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not is_special


def mushroom_observer_site() -> PhotoURL:
    """Return the parsed CHAMPIPY_MUSHROOM_OBSERVER_URL.

    Raises FetchError if it is no URL; a system check says so.
    """
    return parse_url(settings.CHAMPIPY_MUSHROOM_OBSERVER_URL)


def asks_mushroom_observer(target: PhotoURL) -> bool:
    """Return whether a request to `target` is one to Mushroom Observer, for an image or not.

    That is the site at CHAMPIPY_MUSHROOM_OBSERVER_URL, and mushroomobserver.org in any case.
    """
    return _is_at_mushroomobserver_org(target) or _is_of_the_site(target)


def _is_at_mushroomobserver_org(target: PhotoURL) -> bool:
    return target.host in _MO_HOSTS and target.port in _PORTS.values()


def _is_of_the_site(target: PhotoURL) -> bool:
    try:
        site = mushroom_observer_site()
    except FetchError:
        return False
    if _is_at_mushroomobserver_org(site):
        return _is_at_mushroomobserver_org(target)
    return target.address == site.address


def _mushroom_observer_match(target: PhotoURL) -> re.Match[str] | None:
    """Return the match if the URL is a Mushroom Observer image: group 2 is its size, 3 its id."""
    if not asks_mushroom_observer(target):
        return None
    path = re.sub("/+", "/", unquote(target.path.partition("?")[0]))
    match = _MO_PATH.fullmatch(path)
    return match if match and bool(match[1]) == _MO_HOSTS.get(target.host, True) else None


def smaller_original(target: PhotoURL) -> PhotoURL:
    """Return the 1280 px version of a Mushroom Observer original; other URLs unchanged.

    Mushroom Observer asks clients not to load its originals.
    """
    match = _mushroom_observer_match(target)
    if match is None or match[2].lower() != "orig":
        return target
    path = f"{match[1] or ''}/1280/{match[3]}.jpg"
    return PhotoURL(target.scheme, target.host, target.port, path)
