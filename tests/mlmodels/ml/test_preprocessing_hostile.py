"""Invalid, damaged and malicious files are refused with a code, quickly and with little memory."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mlmodels.ml.preprocessing import PhotoError, decode_photo
from tests.support.hostile_files import (
    hostile_files,
    jpeg_with,
    photo_bytes,
    picture,
    png,
)
from tests.support.paths import PROJECT

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")


@pytest.mark.parametrize(
    ("data", "code"),
    [pytest.param(data, code, id=name) for name, data, code in hostile_files()],
)
def test_hostile_file_is_refused_with_its_code(data, code):
    with pytest.raises(PhotoError) as refusal:
        decode_photo(data)
    assert refusal.value.code == code
    assert re.fullmatch(r"(This|The|A) [^<>]+\.", str(refusal.value))


_COSTS = """
import time
from pathlib import Path
from mlmodels.ml.preprocessing import PhotoError, decode_photo
from tests.support.hostile_files import expensive_files, hostile_files

def kilobytes(field):
    return int(Path("/proc/self/status").read_text().split(field + ":")[1].split()[0])

files = [(name, data) for name, data, _ in hostile_files()] + expensive_files()
for name, data in files:
    Path("/proc/self/clear_refs").write_text("5")
    before, started = kilobytes("VmRSS"), time.monotonic()
    try:
        decode_photo(data)
    except PhotoError:
        pass
    print(name, time.monotonic() - started, (kilobytes("VmHWM") - before) / 1000)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads memory from /proc")
def test_every_file_is_decoded_in_bounded_time_and_memory():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _COSTS],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    costs = {
        name: (float(seconds), float(megabytes))
        for name, seconds, megabytes in map(str.split, run.stdout.splitlines())
    }
    assert len(costs) > 80
    assert {name: cost for name, cost in costs.items() if cost[0] > 10 or cost[1] > 450} == {}
    refused = {name for name, _, code in hostile_files() if code == "image_too_large"}
    assert {name: cost for name, cost in costs.items() if name in refused and cost[1] > 30} == {}


def outcome(data: bytes) -> str:
    """Return the code of the refusal, or "photo"; any other error fails the test."""
    try:
        image = decode_photo(data)
    except PhotoError as error:
        return error.code
    assert image.mode == "RGB"
    return "photo"


SEEDS = {
    "jpeg": photo_bytes,
    "progressive.jpeg": lambda: photo_bytes(progressive=True),
    "cmyk.jpeg": lambda: photo_bytes("JPEG", picture(mode="CMYK")),
    "exif.jpeg": lambda: jpeg_with(b"", photo_bytes(exif=_exif())),
    "png": lambda: photo_bytes("PNG"),
    "palette.png": lambda: photo_bytes("PNG", picture(mode="P"), transparency=3),
    "chunks.png": lambda: photo_bytes("PNG", exif=_exif(), dpi=(72, 72)),
    "webp": lambda: photo_bytes("WEBP"),
    "animated.webp": lambda: photo_bytes("WEBP", save_all=True, append_images=[picture(64, 48)]),
    "lossless.webp": lambda: photo_bytes("WEBP", picture(mode="RGBA"), lossless=True),
    "gif": lambda: photo_bytes("GIF"),
    "animated.gif": lambda: photo_bytes("GIF", save_all=True, append_images=[picture().rotate(9)]),
    "bmp": lambda: photo_bytes("BMP"),
    "palette.bmp": lambda: photo_bytes("BMP", picture(mode="P")),
    "tiff": lambda: photo_bytes("TIFF"),
    "lzw.tiff": lambda: photo_bytes("TIFF", compression="tiff_lzw", exif=_exif()),
    "jpeg.tiff": lambda: photo_bytes("TIFF", compression="jpeg"),
    "float.tiff": lambda: photo_bytes("TIFF", picture(mode="F"), compression="tiff_deflate"),
}


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    return exif


@pytest.mark.parametrize("name", SEEDS)
def test_a_mutated_file_gives_a_photo_or_a_photo_error(name):
    chance = random.Random(name)
    good = SEEDS[name]()
    assert outcome(good) == "photo"
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = int(len(data) * chance.random() ** 3)  # mostly in the headers
            kind = chance.randrange(4)
            if kind == 0:
                data[at] = chance.randrange(256)
            elif kind == 1:
                data[at : at + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
            elif kind == 2:
                del data[at : at + chance.randrange(1, 20)]
            else:
                data[at:at] = chance.randbytes(chance.randrange(1, 20))
        outcome(bytes(data))


@pytest.mark.parametrize("name", SEEDS)
def test_a_truncated_file_gives_a_photo_or_a_photo_error(name):
    good = SEEDS[name]()
    for length in range(0, len(good), max(1, len(good) // 100)):
        assert outcome(good[:length]) in {"photo", "not_an_image", "image_truncated"}


def test_a_png_without_pixel_data_is_truncated():
    assert outcome(png(64, 48, b"")) == "image_truncated"
