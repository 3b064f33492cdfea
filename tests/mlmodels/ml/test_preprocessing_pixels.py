"""The decoded pixels of photos in all formats, colour modes and orientations."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlmodels.ml.preprocessing import PhotoError, decode_photo
from tests.support.hostile_files import (
    jpeg_segment,
    jpeg_with,
    photo_bytes,
    picture,
    png,
    png_chunk,
)

PICTURE = picture()
PIXELS = np.asarray(PICTURE)
WHITE = (255, 255, 255)


def pixels(data: bytes) -> np.ndarray:
    """Return a decoded photo as int [height, width, 3], after checking its type and mode."""
    image = decode_photo(data)
    assert type(image) is Image.Image
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def packed(rows: np.ndarray) -> bytes:
    """Return rows [height, bytes] as compressed, unfiltered pixel data of a PNG."""
    rows = rows.reshape(len(rows), -1)
    return zlib.compress(np.pad(rows, ((0, 0), (1, 0))).astype(np.uint8).tobytes())


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
    ],
)
def test_lossless_format_keeps_every_pixel(format, options):
    assert np.array_equal(pixels(photo_bytes(format, **options)), PIXELS)


@pytest.mark.parametrize(
    ("format", "image", "options", "max_difference"),
    [
        ("JPEG", PICTURE, {"quality": 95}, 12),
        ("JPEG", PICTURE, {"quality": 95, "progressive": True}, 12),
        ("JPEG", PICTURE.convert("CMYK"), {"quality": 95}, 12),
        ("JPEG", PICTURE.convert("L"), {"quality": 95}, 30),
        ("WEBP", PICTURE, {"quality": 95}, 15),
        ("GIF", PICTURE, {}, 25),
        ("TIFF", PICTURE.convert("YCbCr"), {}, 3),
        ("TIFF", PICTURE.convert("CMYK"), {}, 1),
        ("TIFF", PICTURE, {"compression": "jpeg", "quality": 95}, 12),
        ("PNG", PICTURE.convert("P"), {}, 60),
    ],
)
def test_lossy_formats_and_other_modes_are_close(format, image, options, max_difference):
    difference = np.abs(pixels(photo_bytes(format, image, **options)) - PIXELS)
    assert difference.mean() < max_difference


def test_cmyk_has_the_right_colours_with_and_without_adobe_marker():
    red = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    adobe = photo_bytes("JPEG", red)
    assert b"Adobe" in adobe
    assert np.abs(pixels(adobe) - (255, 0, 0)).max() <= 3
    plain = photo_bytes("TIFF", red)
    assert np.array_equal(pixels(plain), np.full((32, 32, 3), (255, 0, 0)))


def test_grey_of_16_bits_keeps_its_high_byte():
    values = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 21
    expected = np.repeat((values >> 8)[..., None], 3, axis=2)
    for data in (
        photo_bytes("PNG", Image.fromarray(values)),
        photo_bytes("TIFF", Image.fromarray(values)),
        photo_bytes("TIFF", Image.frombytes("I;16B", (64, 48), values.astype(">u2").tobytes())),
        png(64, 48, packed(values.astype(">u2").view(np.uint8)), depth=16, colour=0),
    ):
        assert np.array_equal(pixels(data), expected)


def test_colour_of_16_bits_keeps_its_high_byte():
    deep = (PIXELS.astype(int) * 256 + 17).astype(">u2")
    data = png(64, 48, packed(deep.reshape(48, -1).view(np.uint8)), depth=16)
    assert np.array_equal(pixels(data), PIXELS)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 255), (-5, 12), (1e30, 3e38), (-3.4e38, 3.4e38), (0, 1e-30)]
)
def test_floats_are_scaled_to_0_to_255(low, high):
    steps = np.linspace(low, high, 256).astype(np.float32)
    values = np.repeat(steps[None], 16, axis=0)
    decoded = pixels(photo_bytes("TIFF", Image.fromarray(values)))
    assert np.abs(decoded[..., 0] - np.arange(256)).max() <= 1
    assert decoded[0, 0, 0] == 0
    assert decoded[0, -1, 0] == 255


def test_nan_and_infinity_in_floats():
    values = np.full((16, 20), np.nan, np.float32)
    assert pixels(photo_bytes("TIFF", Image.fromarray(values))).max() == 0
    values[0, :4] = (0, 2, np.inf, -np.inf)
    decoded = pixels(photo_bytes("TIFF", Image.fromarray(values)))[..., 0]
    assert decoded[0, :5].tolist() == [0, 255, 255, 0, 0]


def test_integers_of_32_bits_are_scaled_to_0_to_255():
    values = np.repeat(np.array([[-7, 0, 3]], np.int32), 16, axis=0).repeat(16, axis=1)
    decoded = pixels(photo_bytes("TIFF", Image.fromarray(values)))
    assert decoded[0, ::16, 0].tolist() == [0, 178, 255]


def test_pictures_of_1_bit_per_pixel():
    values = np.arange(64 * 48).reshape(48, 64) % 3 == 0
    for format in ("PNG", "BMP", "TIFF", "GIF"):
        decoded = pixels(photo_bytes(format, Image.fromarray(values)))
        assert np.array_equal(decoded, np.repeat(values[..., None] * 255, 3, axis=2))


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_blended_with_white(format):
    image = Image.new("RGBA", (48, 16), (200, 100, 0, 255))
    image.paste((200, 100, 0, 0), (16, 0, 32, 16))
    image.paste((200, 100, 0, 102), (32, 0, 48, 16))
    options = {"lossless": True} if format == "WEBP" else {}
    decoded = pixels(photo_bytes(format, image, **options))
    assert decoded[0, ::16].tolist() == [[200, 100, 0], [255, 255, 255], [233, 193, 153]]


def test_other_transparency_becomes_white():
    grey_alpha = Image.new("LA", (32, 16), (80, 255))
    grey_alpha.paste((80, 0), (16, 0, 32, 16))
    palette = Image.new("P", (32, 16), 0)
    palette.putpalette([80, 80, 80, 9, 9, 9])
    palette.paste(1, (16, 0, 32, 16))
    colour = Image.new("RGB", (32, 16), (80, 80, 80))
    colour.paste((1, 2, 3), (16, 0, 32, 16))
    grey = colour.convert("L")
    for data in (
        photo_bytes("PNG", grey_alpha),
        photo_bytes("PNG", palette, transparency=1),
        photo_bytes("PNG", palette, transparency=b"\xff\x00"),
        photo_bytes("GIF", palette, transparency=1),
        photo_bytes("PNG", colour, transparency=(1, 2, 3)),
        photo_bytes("PNG", grey, transparency=grey.getpixel((20, 0))),
    ):
        assert pixels(data)[0, ::16].tolist() == [[80, 80, 80], [255, 255, 255]]


@pytest.mark.parametrize(
    ("format", "options"),
    [("PNG", {}), ("GIF", {"duration": 50}), ("WEBP", {"lossless": True}), ("TIFF", {})],
)
def test_the_first_of_several_pictures_is_returned(format, options):
    first, second = (Image.new("RGB", (32, 32), colour) for colour in ("red", "blue"))
    data = photo_bytes(format, first, save_all=True, append_images=[second] * 3, **options)
    assert np.array_equal(pixels(data), np.full((32, 32, 3), (255, 0, 0)))


def test_the_first_picture_of_an_mpo_file_is_returned():
    first, second = (Image.new("RGB", (32, 32), colour) for colour in ("red", "blue"))
    data = photo_bytes("MPO", first, save_all=True, append_images=[second])
    assert np.abs(pixels(data) - (255, 0, 0)).max() <= 3
    start = data.index(b"MPF\0") + 4
    broken = data[:start] + b"\xff" * 8 + data[start + 8 :]
    assert np.abs(pixels(broken) - (255, 0, 0)).max() <= 3


TURNED = {
    1: PIXELS,
    2: PIXELS[:, ::-1],
    3: PIXELS[::-1, ::-1],
    4: PIXELS[::-1],
    5: PIXELS.transpose(1, 0, 2),
    6: np.rot90(PIXELS, -1),
    7: np.rot90(PIXELS.transpose(1, 0, 2), 2),
    8: np.rot90(PIXELS),
    0: PIXELS,
    9: PIXELS,
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_a_photo_is_turned_upright_once(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, dict[str, Any]] = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 95, "subsampling": 0},
    }
    data = photo_bytes(format, exif=exif, **options.get(format, {}))
    decoded, expected = pixels(data), TURNED[orientation].astype(int)
    assert decoded.shape == expected.shape
    assert np.abs(decoded - expected).max() <= (25 if format == "JPEG" else 0)
    assert decode_photo(data).info == {"full_size": expected.shape[1::-1]}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_metadata_is_ignored():
    plain = pixels(photo_bytes())
    exif = [
        *(b"", b"II", b"II*\0", b"II*\0\xff\xff\xff\xff", b"XX*\0\x08\0\0\0", b"\0" * 50),
        b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 3, 2**32 - 1, 2**32 - 1),
        b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 2, 1, 0x41) + bytes(4),
        b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 5, 1, 8) + bytes(12),
        b"MM\0*" + struct.pack(">IH", 8, 65535),
    ]
    segments = [jpeg_segment(0xE1, b"Exif\0\0" + block) for block in exif]
    segments += [
        jpeg_segment(0xE2, b"ICC_PROFILE\0\1\1" + b"no profile"),
        jpeg_segment(0xE2, b"ICC_PROFILE\0\xff"),
        jpeg_segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
        jpeg_segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed\0"),
        jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<not xml"),
    ]
    for segment in segments:
        assert np.array_equal(pixels(jpeg_with(segment)), plain)
    rows = packed(PIXELS)
    for chunk in (
        png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"no profile")),
        png_chunk(b"eXIf", b"no exif"),
        png_chunk(b"acTL", b"\xff" * 8),
        png_chunk(b"tEXt", b"no separator"),
    ):
        assert np.array_equal(pixels(png(64, 48, rows, extra=chunk)), PIXELS)


def test_data_after_the_end_of_a_photo_is_ignored():
    for tail in (b"<script>alert(1)</script>", b"PK\3\4" + bytes(100), photo_bytes("PNG")):
        assert np.array_equal(pixels(photo_bytes() + tail), pixels(photo_bytes()))


def test_photos_at_the_limits_are_accepted():
    assert pixels(photo_bytes("PNG", picture(16, 16))).shape == (16, 16, 3)
    assert decode_photo(photo_bytes("PNG", Image.new("L", (5000, 5000)))).size == (5000, 5000)
    jpeg = photo_bytes()
    jpeg += bytes(10_000_000 - len(jpeg))
    assert decode_photo(jpeg).size == (64, 48)
    with pytest.raises(PhotoError) as refusal:
        decode_photo(jpeg + b"\0")
    assert refusal.value.code == "image_too_large"


@pytest.mark.parametrize(
    ("size", "orientation", "decoded", "full_size"),
    [
        ((2047, 2048), 1, (2047, 2048), (2047, 2048)),
        ((2048, 2051), 1, (1024, 1026), (2048, 2051)),
        ((4096, 4200), 6, (1050, 1024), (4200, 4096)),
        ((4096, 4200), 3, (1024, 1050), (4096, 4200)),
    ],
)
def test_large_jpeg_is_decoded_smaller(size, orientation, decoded, full_size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_photo(photo_bytes("JPEG", Image.new("RGB", size, "red"), exif=exif))
    assert image.size == decoded
    assert image.info["full_size"] == full_size
