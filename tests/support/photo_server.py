"""A web server of photos for tests and benchmarks, which can also misbehave in many ways.

    with PhotoServer(folders=[folder], files={"a.jpg": data}) as server:
        server.url("a.jpg")          # http://127.0.0.1:PORT/a.jpg
        server.address               # 127.0.0.1:PORT, for CHAMPIPY_FETCH_ALLOW

To run it manually: python -m tests.support.photo_server FOLDER --port 8099
"""

import argparse
import functools
import gzip
import mimetypes
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.support.local_server import LocalServer, QuietServer


class PhotoServer(LocalServer):
    """Serves the files in its folders and in `files` (paths without a leading slash) on 127.0.0.1.

    It also serves these paths:
    /drip/PATH            the file, one byte every `drip_s`    /drip-headers      slow headers
    /drip-chunks/PATH     the same, chunked                    /hang              no response
    /redirect/N/PATH      N redirects, then the file           /redirect-to?url=  one redirect
    /redirect-loop        redirects to itself                  /status/CODE       that status
    /lying-length/PATH    announces twice the bytes it sends   /huge-length       announces 1 TB
    /no-length            endless bytes                        /chunks            endless chunks
    /headers              endless header lines                 /long-header       one endless header
    /continues            endless "100 Continue"               /long-chunk-size   endless chunk size
    /gzip-bomb            64 MB compressed to 64 KB            /gzip/PATH         the file, gzipped
    /gzip-garbage         claims gzip, but isn't               /brotli            claims br
    /reset                closes with RST                      /garbage           not HTTP
    /page.html            an HTML page as image/jpeg           /as-text/PATH      a photo as text
    `requests` counts the requested paths; `headers` holds the last request's headers.
    """

    def __init__(
        self,
        folders: Iterable[Path] = (),
        files: Mapping[str, bytes] | None = None,
        port: int = 0,
        drip_s: float = 1.0,
    ) -> None:
        self.folders = [folder.resolve() for folder in folders]
        self.files = dict(files or {})
        self.drip_s = drip_s
        self.requests: Counter[str] = Counter()
        self.headers: dict[str, str] = {}
        server = _Server(("127.0.0.1", port), _Handler)
        server.photos = self
        super().__init__(server)

    def url(self, path: str) -> str:
        return f"http://{self.address}/{quote(path, safe='/?=&%:')}"

    def read(self, path: str) -> bytes | None:
        """Return the bytes served at `path`, or None."""
        if path in self.files:
            return self.files[path]
        for folder in self.folders:
            file = (folder / path).resolve()
            if file.is_relative_to(folder) and file.is_file():
                return file.read_bytes()
        return None


class _Server(QuietServer):
    photos: PhotoServer


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        photos = self.server.photos
        parts = urlsplit(self.path)
        name, _, rest = unquote(parts.path).lstrip("/").partition("/")
        photos.requests[unquote(parts.path)] += 1
        photos.headers = dict(self.headers.items())
        self.close_connection = True
        data = photos.read(unquote(parts.path).lstrip("/"))
        misbehave = getattr(self, f"_{name.replace('-', '_').replace('.', '_')}", None)
        if data is not None:
            self._answer(data, mimetypes.guess_type(parts.path)[0] or "application/octet-stream")
        elif misbehave is not None and name in _MISBEHAVIOURS:
            misbehave(rest, parse_qs(parts.query))
        else:
            self._answer(b"nothing here", "text/plain", status=404)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _answer(
        self,
        data: bytes,
        kind: str = "image/jpeg",
        *,
        status: int = 200,
        length: int | None = None,
        **headers: str,
    ) -> None:
        self._head(kind, status=status, length=len(data) if length is None else length, **headers)
        self.wfile.write(data)

    def _head(
        self, kind: str = "image/jpeg", *, status: int = 200, length: int | None = None, **more: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        if length is not None:
            self.send_header("Content-Length", str(length))
        for header, value in more.items():
            self.send_header(header.replace("_", "-"), value)
        self.end_headers()

    def _file(self, path: str) -> bytes:
        return self.server.photos.read(path) or b"x" * 1000

    def _endless(self, piece: bytes) -> None:
        while not self.server.photos.closing.is_set():
            self.wfile.write(piece)

    def _dripped(self, data: bytes) -> None:
        for byte in data:
            self.wfile.write(bytes([byte]))
            if self.server.photos.closing.wait(self.server.photos.drip_s):
                return

    def _drip(self, path: str, query: dict[str, list[str]]) -> None:
        data = self._file(path)
        self._head(length=len(data))
        self._dripped(data)

    def _drip_chunks(self, path: str, query: dict[str, list[str]]) -> None:
        self._head(Transfer_Encoding="chunked")
        self._dripped(b"".join(b"1\r\n%c\r\n" % byte for byte in self._file(path)))

    def _drip_headers(self, path: str, query: dict[str, list[str]]) -> None:
        self._dripped(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nX: " + b"x" * 1000)

    def _hang(self, path: str, query: dict[str, list[str]]) -> None:
        self.server.photos.closing.wait(60)

    def _redirect(self, path: str, query: dict[str, list[str]]) -> None:
        count, _, rest = path.partition("/")
        target = f"/redirect/{int(count) - 1}/{rest}" if int(count) > 1 else f"/{rest}"
        self._answer(b"", status=302, Location=target)

    def _redirect_to(self, path: str, query: dict[str, list[str]]) -> None:
        self._answer(b"", status=302, Location=query["url"][0])

    def _redirect_loop(self, path: str, query: dict[str, list[str]]) -> None:
        self._answer(b"", status=301, Location="/redirect-loop")

    def _status(self, path: str, query: dict[str, list[str]]) -> None:
        self._answer(b"", status=int(path))

    def _lying_length(self, path: str, query: dict[str, list[str]]) -> None:
        data = self._file(path)
        self._answer(data, length=2 * len(data))

    def _huge_length(self, path: str, query: dict[str, list[str]]) -> None:
        self._answer(b"x", length=10**12)

    def _no_length(self, path: str, query: dict[str, list[str]]) -> None:
        self._head()
        self._endless(b"x" * 65536)

    def _chunks(self, path: str, query: dict[str, list[str]]) -> None:
        self._head(Transfer_Encoding="chunked")
        self._endless(b"8\r\nxxxxxxxx\r\n" * 4096)

    def _long_chunk_size(self, path: str, query: dict[str, list[str]]) -> None:
        self._head(Transfer_Encoding="chunked")
        self._endless(b"0" * 65536)

    def _headers(self, path: str, query: dict[str, list[str]]) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self._endless(b"X-More: and more\r\n" * 100)

    def _long_header(self, path: str, query: dict[str, list[str]]) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        self._endless(b"x" * 65536)

    def _continues(self, path: str, query: dict[str, list[str]]) -> None:
        self._endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    def _gzip_bomb(self, path: str, query: dict[str, list[str]]) -> None:
        self._answer(_gzip_bomb(), Content_Encoding="gzip")

    def _gzip(self, path: str, query: dict[str, list[str]]) -> None:
        self._answer(gzip.compress(self._file(path)), Content_Encoding="gzip")

    def _gzip_garbage(self, path: str, query: dict[str, list[str]]) -> None:
        self._answer(b"this was never packed", Content_Encoding="gzip")

    def _brotli(self, path: str, query: dict[str, list[str]]) -> None:
        self._answer(b"\x0b\x02\x80abc\x03", Content_Encoding="br")

    def _reset(self, path: str, query: dict[str, list[str]]) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def _garbage(self, path: str, query: dict[str, list[str]]) -> None:
        self.wfile.write(b"\x00\x01SSH-2.0-nothing\r\n\r\n")

    def _page_html(self, path: str, query: dict[str, list[str]]) -> None:
        self._answer(b"<!doctype html><title>No photo</title>" + b" " * 400, "image/jpeg")

    def _as_text(self, path: str, query: dict[str, list[str]]) -> None:
        self._answer(self._file(path), "text/html")


_MISBEHAVIOURS = {
    *("drip", "drip-chunks", "drip-headers", "hang", "redirect", "redirect-to", "redirect-loop"),
    *("status", "lying-length", "huge-length", "no-length", "chunks", "long-chunk-size"),
    *("headers", "long-header", "continues", "gzip-bomb", "gzip", "gzip-garbage", "brotli"),
    *("reset", "garbage", "page.html", "as-text"),
}


@functools.cache
def _gzip_bomb() -> bytes:
    return gzip.compress(bytes(64 * 2**20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--port", type=int, default=8099)
    arguments = parser.parse_args()
    server = PhotoServer(arguments.folder, port=arguments.port)
    print(f"Serving on http://{server.address}/ until Ctrl-C.")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("Stopped.")


if __name__ == "__main__":
    main()
