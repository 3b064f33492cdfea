"""Builds files that are not usable photos, each with the error code that must refuse it.

`photo_bytes` makes valid small photos.
"""

import functools
import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_PNG_START = b"\x89PNG\r\n\x1a\n"


def picture(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    """Return a picture with a gradient and noise. The noise is always the same."""
    rows = np.linspace(0, 200, height)[:, None, None]
    noise = np.random.default_rng(7).integers(0, 55, (height, width, 3))
    return Image.fromarray((rows + noise).astype(np.uint8)).convert(mode)


def photo_bytes(format: str = "JPEG", image: Image.Image | None = None, **options: Any) -> bytes:
    """Return `image` (by default `picture()`) in one of Pillow's formats."""
    buffer = io.BytesIO()
    (image or picture()).save(buffer, format, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    check = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png(
    width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 2, extra: bytes = b""
) -> bytes:
    """Return a PNG with this header, `extra` chunks and compressed rows, which need not match."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", pixels)
    return _PNG_START + body + png_chunk(b"IEND", b"")


def tiff(tags: list[tuple[int, int, int, int]], data: bytes = b"", next_ifd: int = 0) -> bytes:
    """Return a little-endian TIFF: a directory of `(tag, type, count, value)`, then `data`."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_ifd)
    return b"II*\0" + struct.pack("<I", 8) + directory + data


def tiff_tags(width: int, height: int, compression: int = 1) -> list[tuple[int, int, int, int]]:
    """Return the tags of an 8-bit grey TIFF in one strip that begins at byte 8."""
    strip = [(273, 4, 1, 8), (279, 4, 1, width * height % 2**32), (278, 4, 1, height)]
    grey = [(258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1), (277, 3, 1, 1)]
    return [(256, 4, 1, width), (257, 4, 1, height), *grey, *strip]


def jpeg_with(segments: bytes, jpeg: bytes | None = None) -> bytes:
    """Return a JPEG with segments inserted after its start marker."""
    jpeg = jpeg or photo_bytes()
    return jpeg[:2] + segments + jpeg[2:]


def jpeg_segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg_of_size(width: int, height: int) -> bytes:
    """Return a small JPEG whose header claims this size."""
    jpeg = bytearray(photo_bytes())
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(jpeg)


def _of_other_size(format: str, width: int, height: int) -> bytes:
    data = bytearray(photo_bytes(format))
    if format == "GIF":
        data[6:10] = struct.pack("<HH", width, height)
    elif format == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    elif format == "WEBP":
        data[26:30] = struct.pack("<HH", width, height)
    return bytes(data)


def _webp_canvas(width: int, height: int) -> bytes:
    """Return a small animated WebP whose header claims this canvas size."""
    data = bytearray(
        photo_bytes("WEBP", save_all=True, append_images=[picture().rotate(90)], lossless=True)
    )
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return bytes(data)


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photo.jpg", photo_bytes())
    return buffer.getvalue()


def _progressive_bomb() -> bytes:
    """Return a progressive JPEG with 20,000 scans, each over the whole picture."""
    jpeg = photo_bytes(progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * 20_000 + jpeg[-2:]


def _not_images() -> dict[str, bytes]:
    html = b"<!doctype html><html><script>alert(1)</script></html>"
    svg = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>'
    pdf = b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n"
    return {
        "empty.jpg": b"",
        "one_byte.jpg": b"\xff",
        "page.jpg": html,
        "drawing.svg": svg,
        "drawing.jpg": svg,
        "paper.pdf": pdf,
        "paper.jpg": pdf,
        "drawing.eps": eps,
        "archive.jpg": _zip(),
        "archive_with_photo_behind.jpg": _zip() + photo_bytes(),
        "page_with_photo_behind.jpg": html + photo_bytes(),
        "script.png": b"#!/bin/sh\nexit 0\n",
        "program.png": b"\x7fELF\x02\x01\x01" + bytes(200),
        "text.bmp": b"BM is how this text begins, and it goes on for a while after that.",
        "noise.jpg": np.random.default_rng(1).bytes(5000),
        "zeros.jpg": bytes(5000),
        "icon.ico": photo_bytes("ICO"),
        "picture.ppm": photo_bytes("PPM"),
        "picture.tga": photo_bytes("TGA"),
        "picture.pcx": photo_bytes("PCX"),
        "movie.mp4": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2mp41" + bytes(100),
        "photo.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
        "model.keras": b"PK\3\4" + bytes(200),
        "pickle.jpg": b"\x80\x04\x95\x1a\0\0\0\0\0\0\0\x8c\x02os\x94\x8c\x06system\x94\x93.",
        "riff.wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(100),
        "too_small.png": photo_bytes("PNG", picture(15, 15)),
        "too_flat.png": photo_bytes("PNG", picture(400, 2)),
        "one_pixel.gif": photo_bytes("GIF", picture(1, 1)),
    }


def _too_large() -> dict[str, bytes]:
    rows = zlib.compress(bytes((6000 * 3 + 1) * 5000), 9)
    return {
        "heavy.jpg": photo_bytes() + bytes(10_000_000),
        "bomb.png": png(6000, 5000, rows),
        "bomb_by_header.png": png(2**31 - 1, 2**31 - 1, zlib.compress(b"\0")),
        "wide_bomb.png": png(2**31 - 1, 16, zlib.compress(b"\0")),
        "just_over.png": png(5001, 5000, zlib.compress(b"\0")),
        "bomb.jpg": jpeg_of_size(65500, 65500),
        "just_over.jpg": jpeg_of_size(5001, 5000),
        "bomb.gif": _of_other_size("GIF", 65535, 65535),
        "bomb.bmp": _of_other_size("BMP", 2**30, 2**30),
        "bomb.webp": _of_other_size("WEBP", 16383, 16383),
        "canvas.webp": _webp_canvas(2**14, 2**14),
        "bomb.tiff": tiff(tiff_tags(2**30, 2**30)),
        "tile_bomb.tiff": tiff(
            [
                *(tag for tag in tiff_tags(64, 64, 8) if tag[0] not in {273, 278, 279}),
                *((322, 4, 1, 40_000), (323, 4, 1, 40_000), (324, 4, 1, 8), (325, 4, 1, 100)),
            ],
            zlib.compress(bytes(100_000)),
        ),
        "scans.jpg": _progressive_bomb(),
    }


def _truncated() -> dict[str, bytes]:
    files = {}
    for format in FORMATS:
        data, suffix = photo_bytes(format), format.lower()
        files[f"half.{suffix}"] = data[: len(data) // 2]
        if format != "BMP":  # its two-letter signature is not enough to recognise it
            files[f"beginning.{suffix}"] = data[:16]
    good = photo_bytes("PNG")
    at = good.index(b"IDAT")
    wrong_crc = png_chunk(b"IHDR", good[16:29], crc=0)
    return files | {
        "no_end.jpg": photo_bytes()[:-200],
        "header_only.jpg": b"\xff\xd8\xff\xe0",
        "no_pixels.png": png(64, 48, b""),
        "few_pixels.png": png(64, 48, zlib.compress(bytes(200))),
        "no_zlib.png": png(64, 48, b"not compressed by zlib"),
        "header_crc.png": _PNG_START + wrong_crc + good[33:],
        "pixels_crc.png": good[: at + 10] + bytes([good[at + 10] ^ 255]) + good[at + 11 :],
        "zero_size.png": png(0, 0, zlib.compress(b"")),
        "no_colour_type.png": png(64, 48, zlib.compress(bytes(10_000)), colour=5),
        "no_frame.gif": photo_bytes("GIF")[:13] + b"\x3b",
        "no_strips.tiff": tiff(tiff_tags(64, 64)[:4]),
        "strip_beyond.tiff": tiff([*tiff_tags(64, 64)[:6], (273, 4, 1, 2**31), (279, 4, 1, 4096)]),
        "many_tags.tiff": b"II*\0"
        + struct.pack("<IH", 8, 65535)
        + b"\1\1\4\0\xff\xff\xff\0\0\0\0\0",
        "no_directory.tiff": b"MM\0*\xff\xff\xff\xf0" + bytes(50),
    }


@functools.cache
def hostile_files() -> list[tuple[str, bytes, str]]:
    """Return `(file name, bytes, code)` of the files that must be refused with that code."""
    groups = {
        "not_an_image": _not_images(),
        "image_too_large": _too_large(),
        "image_truncated": _truncated(),
    }
    return [(name, data, code) for code, files in groups.items() for name, data in files.items()]


def expensive_files() -> list[tuple[str, bytes]]:
    """Return `(file name, bytes)` of files within the limits that try to cost time or memory.

    They may be accepted or refused, but decoding them must take little time and memory.
    """
    rows = zlib.compress(bytes((64 * 3 + 1) * 48))
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9))
    profile = png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(50_000_000), 9))
    gif = photo_bytes("GIF")
    at = gif.index(b"\x2c", 13 + 768)
    comment = b"\x21\xfe" + (b"\xff" + bytes(255)) * 38_000 + b"\0"
    frame = gif[at:-1]
    tags = b"".join(struct.pack("<HHII", tag, 7, 9_000_000, 8) for tag in range(1000, 60_000))
    exif = b"II*\0" + struct.pack("<IH", 8 + 9_000_000, 59_000) + bytes(9_000_000) + tags
    exif = (exif + bytes(4))[:9_900_000]
    small_exif = b"II*\0" + struct.pack("<IH", 8, 5000)
    small_exif += b"".join(struct.pack("<HHII", tag, 7, 65_000, 8) for tag in range(1000, 6000))
    pieces = b"".join(
        jpeg_segment(0xE1, b"Exif\0\0" + exif[at : at + 65_000])
        for at in range(0, len(exif), 65_000)
    )
    nested = [*tiff_tags(64, 64), (330, 4, 1, 8), (34665, 4, 1, 8)]
    wide = photo_bytes("PNG", Image.new("RGB", (1_500_000, 16)))
    return [
        ("text.png", png(64, 48, rows, extra=text)),
        ("many_texts.png", png(64, 48, rows, extra=text * 100)),
        ("profile.png", png(64, 48, rows, extra=profile)),
        ("many_chunks.png", png(64, 48, rows, extra=png_chunk(b"teXt", b"") * 200_000)),
        ("comment.gif", gif[:at] + comment + gif[at:]),
        ("empty_extensions.gif", gif[:at] + b"\x21\xf0\1\0\0" * 1_900_000 + gif[at:]),
        ("many_frames.gif", gif[:-1] + frame * (9_000_000 // len(frame)) + b";"),
        ("exif.jpg", jpeg_with(pieces)),
        ("small_exif.jpg", jpeg_with(jpeg_segment(0xE1, b"Exif\0\0" + small_exif))),
        ("many_segments.jpg", jpeg_with(b"\xff\xe5\0\2" * 500_000)),
        ("photoshop.jpg", jpeg_with(jpeg_segment(0xED, b"Photoshop 3.0\0" + bytes(65_000)) * 150)),
        ("profile.jpg", jpeg_with(jpeg_segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(65_000)) * 150)),
        ("exif.png", png(64, 48, rows, extra=png_chunk(b"eXIf", exif))),
        ("tags.tiff", exif),
        ("nested.tiff", tiff(nested, bytes(5000))),
        ("loop.tiff", tiff(tiff_tags(64, 64), bytes(5000), next_ifd=8)),
        ("wide.png", wide),
        ("full_size.png", photo_bytes("PNG", Image.new("RGBA", (5000, 5000)))),
        (
            "full_size_float.tiff",
            photo_bytes("TIFF", _float_ramp(5000), compression="tiff_deflate"),
        ),
        ("full_size.webp", photo_bytes("WEBP", Image.new("RGB", (5000, 5000)), lossless=True)),
        (
            "full_size_alpha.webp",
            photo_bytes("WEBP", Image.new("RGBA", (5000, 5000)), lossless=True),
        ),
        ("full_size.jpg", photo_bytes("JPEG", Image.new("RGB", (5000, 5000)), progressive=True)),
        ("runs.bmp", _bmp_of_runs()),
    ]


def _float_ramp(side: int) -> Image.Image:
    ramp = np.repeat(np.linspace(0, 1, side, dtype=np.float32)[:, None], side, axis=1)
    return Image.fromarray(ramp)


def _bmp_of_runs() -> bytes:
    """Return a BMP of a million pixels, run-length encoded in runs of one pixel."""
    pixels = (b"\1\7" * 1000 + b"\0\0") * 1000
    info = struct.pack("<IiiHHIIiiII", 40, 1000, 1000, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    start = struct.pack("<2sIHHI", b"BM", 54 + 1024 + len(pixels), 0, 0, 54 + 1024)
    return start + info + bytes(1024) + pixels
