"""Finds where a picture ends in its file, so that bytes after it need not be stored.

Phones append films and further pictures, and anybody can append anything. Neither Django nor Pillow
is imported.
"""

import re

_SCAN_END = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""The next marker in a JPEG's scan: not a stuffed zero, a restart marker or a fill byte."""
_SOI_EOI_RST_TEM = {*range(0xD0, 0xDA), 0x01}  # a JPEG's markers without a length
_EOI, _SOS = 0xD9, 0xDA
_MAX_BLOCKS = 200_000  # of a GIF or PNG; a file with more is kept whole


def picture_length(data: bytes) -> int:
    """Return how many bytes from the start of `data` belong to its picture.

    The end is a JPEG's EOI, a PNG's IEND, a GIF's trailer or a WebP's RIFF length. For other
    formats, for a file without an end and for one of an unusual form it is `len(data)`.
    """
    if data.startswith(b"\xff\xd8\xff"):
        end = _jpeg_end(data)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        end = _png_end(data)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        end = _gif_end(data)
    elif data[:4] + data[8:12] == b"RIFFWEBP":
        end = 8 + int.from_bytes(data[4:8], "little")
    else:
        end = None
    return len(data) if end is None else min(end, len(data))


def _jpeg_end(data: bytes) -> int | None:
    at = 2
    while data[at : at + 1] == b"\xff" and at + 1 < len(data):
        marker = data[at + 1]
        if marker == _EOI:
            return at + 2
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _SOI_EOI_RST_TEM:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if marker == _SOS:
                found = _SCAN_END.search(data, at)
                if found is None:
                    return None
                at = found.start()
    return None


def _png_end(data: bytes) -> int | None:
    at = 8
    for _ in range(_MAX_BLOCKS):
        if at + 12 > len(data):
            return None
        kind = data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if kind == b"IEND":
            return at
    return None


def _gif_end(data: bytes) -> int | None:
    if len(data) < 13:
        return None
    at = 13 + _colour_table(data[10])
    blocks = 0
    while blocks < _MAX_BLOCKS and at < len(data):
        kind = data[at]
        if kind == 0x3B:
            return at + 1
        if kind == 0x21:  # an extension: its label, then pieces
            at += 2
        elif kind == 0x2C and at + 10 < len(data):  # a picture: header, colours, code size, pieces
            at += 11 + _colour_table(data[at + 9])
        else:
            return None
        while at < len(data) and data[at] and blocks < _MAX_BLOCKS:
            at += 1 + data[at]
            blocks += 1
        at += 1
        blocks += 1
    return None


def _colour_table(flags: int) -> int:
    """Return the bytes of the colour table that a GIF's flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
